/// x
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a>(&'a [u8]);
impl<'a> Arguments<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Arguments(bytes)
    }
}
/// x
pub enum Argument {}
