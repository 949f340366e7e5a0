//! Times factorisations of a matrix in NumPy's format, one JSON line each: see
//! `scripts/bench_nmf.py`.
//!
//! `nmf_time FILE.npy COMPONENTS START REPEATS`

use std::error::Error;
use std::time::Instant;

use elucid_factor::Nmf;
use ndarray::Array2;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, components, start, repeats] = arguments.as_slice() else {
        return Err("nmf_time FILE.npy COMPONENTS START REPEATS".into());
    };
    let x: Array2<f32> = ndarray_npy::read_npy(file)?;
    let nmf = Nmf::new(components.parse()?).start(start.parse()?);
    for _ in 0..repeats.parse()? {
        let begun = Instant::now();
        let fit = nmf.fit(x.view())?;
        println!(
            r#"{{"seconds": {}, "iterations": {}, "relative_error": {}}}"#,
            begun.elapsed().as_secs_f64(),
            fit.iterations,
            fit.relative_error
        );
    }
    Ok(())
}
