//! Timing.
use burn::tensor::ops::{MaxPoolOptions, PadMode};
use burn::tensor::{Device, Distribution, Tensor, module, activation};
use elucid_rules::*;
use std::sync::Arc;
use std::time::Instant;
fn best(mut f: impl FnMut()) -> f64 { f(); let mut v: Vec<f64> = (0..9).map(|_| { let t = Instant::now(); f(); t.elapsed().as_secs_f64() * 1e3 }).collect(); v.sort_by(f64::total_cmp); v[2] }
fn lrn_burn(x: Tensor<4>) -> Tensor<4> { let [n, c, h, w] = x.dims(); let sq = (x.clone() * x.clone()).pad([(2, 2), (0, 0), (0, 0)], PadMode::Constant(0.0)); let mut s = sq.clone().slice([0..n, 0..c, 0..h, 0..w]); for i in 1..5 { s = s + sq.clone().slice([0..n, i..i + c, 0..h, 0..w]); } x * (s * (1e-4f32 / 5.0) + 1.0).powf_scalar(-0.75) }
fn grad(x: &Tensor<4>, f: impl Fn(Tensor<4>) -> Tensor<4>) { let x = x.clone().autodiff().require_grad(); let y = f(x.clone()); let w = Tensor::<4>::full(y.dims(), 0.5, &y.device().inner()); let g = (y * Tensor::from_inner(w)).sum().backward(); std::hint::black_box(x.grad(&g).unwrap()); }
fn main() {
    let d = Device::flex();
    println!("threads {}", cpu_threads());
    for (name, dims, k, s, p, ceil) in [("112x112x64 s2", [8, 64, 112, 112], 3, 2, 0, true), ("56x56x192 s2", [8, 192, 56, 56], 3, 2, 0, true), ("28x28x192 s1", [8, 192, 28, 28], 3, 1, 1, false), ("28x28x256 s1", [8, 256, 28, 28], 3, 1, 1, false), ("28x28x480 s2", [8, 480, 28, 28], 3, 2, 0, true), ("14x14x528 s1", [8, 528, 14, 14], 3, 1, 1, false), ("7x7x832 s1", [8, 832, 7, 7], 3, 1, 1, false)] {
        let x = Tensor::<4>::random(dims, Distribution::Normal(0.0, 1.0), &d);
        let pool = Pool2d::new([k; 2]).stride([s; 2]).pads([p; 4]).ceil_mode(ceil);
        let opt = MaxPoolOptions::new([k; 2]).with_stride([s; 2]).with_padding([p; 2]).with_ceil_mode(ceil);
        let ours = best(|| { std::hint::black_box(max_pool2d(x.clone(), &pool)); });
        let burns = best(|| { std::hint::black_box(module::max_pool2d(x.clone(), opt.clone())); });
        let ours_b = best(|| grad(&x, |x| max_pool2d(x, &pool)));
        let burns_b = best(|| grad(&x, |x| module::max_pool2d(x, opt.clone())));
        let rule = Rules::preset("smooth").unwrap().bind(&Operator::MaxPool(&pool), &[]).unwrap().unwrap();
        let smooth = best(|| grad(&x, |x| apply(x, rule.clone())));
        let rule = Rules::preset("smooth-blur").unwrap().bind(&Operator::MaxPool(&pool), &[]).unwrap().unwrap();
        let blur = best(|| grad(&x, |x| apply(x, rule.clone())));
        let base = best(|| grad(&x, |x| x));
        println!("{name}: forward {ours:.2} ms (burn {burns:.2}); f+b {ours_b:.2} (burn {burns_b:.2}); smooth f+b {smooth:.2}, blurred {blur:.2}; sum only {base:.2}");
    }
    for (name, dims) in [("56x56x64", [8, 64, 56, 56]), ("56x56x192", [8, 192, 56, 56]), ("56x56x192 b1", [1, 192, 56, 56])] {
        let x = Tensor::<4>::random(dims, Distribution::Normal(0.0, 1.0), &d);
        let lrn = Lrn::new(5);
        let ours = best(|| { std::hint::black_box(local_response_norm(x.clone(), &lrn)); });
        let burns = best(|| { std::hint::black_box(lrn_burn(x.clone())); });
        let ours_b = best(|| grad(&x, |x| local_response_norm(x, &lrn)));
        let burns_b = best(|| grad(&x, lrn_burn));
        println!("LRN {name}: forward {ours:.2} (burn {burns:.2}); f+b {ours_b:.2} (burn {burns_b:.2})");
    }
    let x = Tensor::<4>::random([8, 192, 56, 56], Distribution::Normal(0.0, 1.0), &d);
    let g: Arc<dyn GradRule> = Arc::new(GuidedRelu).bind(&Operator::Relu).unwrap();
    println!("relu 56x56x192 f+b: burn {:.2}, guided {:.2}", best(|| grad(&x, activation::relu)), best(|| grad(&x, |x| apply(x, g.clone()))));
}
