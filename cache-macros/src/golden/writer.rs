/// Changes a price.
pub fn set_price(sku: &Sku, owner: &str, to: Price) -> Result<(), DbError> {
    let targets = match ::core::convert::AsRef::<::cache::Region>::as_ref(&LONG_TERM) {
        region => {
            [
                ::cache::__private::target(price_entry(sku.id)),
                region.invalidate_namespace("totals"),
                ::cache::__private::target(album::pages_entry::<Small>(owner, 0)),
            ]
        }
    };
    ::cache::__private::write(
        ::core::concat!(::core::module_path!(), "::set_price"),
        targets,
        ::cache::__private::Exits::every(),
        (sku, owner, to),
        move |#[allow(unused_variables)] (sku, owner, mut to)| -> Result<(), DbError> {
            to.round();
            store(sku, to)?;
            Ok(())
        },
    )
}
