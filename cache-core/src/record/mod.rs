//! Records: the bytes kept far, made from a value and back, trusting nothing.
