//! Three photographs to try a network on, as PNG files.
//!
//! Both originals are dedicated to the public domain (CC0); `README.md` says where they come
//! from.

/// Chelsea, a tabby cat: 451 x 300 pixels, RGB. By Stéfan van der Walt.
pub fn chelsea() -> &'static [u8] {
    include_bytes!("../photographs/chelsea.png")
}

/// A cup of espresso on a red saucer: 600 x 400 pixels, RGB. By Rachel Michetti.
pub fn coffee() -> &'static [u8] {
    include_bytes!("../photographs/coffee.png")
}

/// A crop of Chelsea at the left and one of the cup at the right: 320 x 320 pixels, RGB.
///
/// Cat and coffee are both among the first five guesses of SqueezeNet 1.1, GoogLeNet and
/// EfficientNet-Lite0.
pub fn cat_and_coffee() -> &'static [u8] {
    include_bytes!("../photographs/cat_and_coffee.png")
}
