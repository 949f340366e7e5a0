//! Photographs to try a network on, as PNG and WebP files.
//!
//! All are in the public domain; `photographs/LICENCES.md` says whose they are and where they come
//! from.

/// Chelsea, a tabby cat: 451 x 300 pixels, PNG. By Stéfan van der Walt.
pub fn chelsea() -> &'static [u8] {
    include_bytes!("../photographs/chelsea.png")
}

/// A cup of espresso on a red saucer: 600 x 400 pixels, PNG. By Rachel Michetti.
pub fn coffee() -> &'static [u8] {
    include_bytes!("../photographs/coffee.png")
}

/// A crop of Chelsea at the left and one of the cup at the right: 320 x 320 pixels, PNG.
///
/// Cat and coffee are both among the first five guesses of SqueezeNet 1.1, GoogLeNet and
/// EfficientNet-Lite0.
pub fn cat_and_coffee() -> &'static [u8] {
    include_bytes!("../photographs/cat_and_coffee.png")
}

/// A German shepherd: 1024 x 768 pixels, WebP. By Hans Kemperman.
pub fn dog() -> &'static [u8] {
    include_bytes!("../photographs/dog.webp")
}

/// A crop of the dog at the left and one of Chelsea at the right: 320 x 320 pixels, PNG.
///
/// The embedded InceptionV1 finds both about as likely.
pub fn dog_and_cat() -> &'static [u8] {
    include_bytes!("../photographs/dog_and_cat.png")
}

/// Five horses: 1024 x 664 pixels, WebP. By Seth Zeigler.
pub fn horse() -> &'static [u8] {
    include_bytes!("../photographs/horse.webp")
}

/// A giant panda: 1024 x 681 pixels, WebP. By Jeff Kubina.
pub fn panda() -> &'static [u8] {
    include_bytes!("../photographs/panda.webp")
}
