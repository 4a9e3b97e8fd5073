impl Shop {
    #[allow(clippy::used_underscore_binding)]
    async fn remove(self, __arg0: Sku, __arg1: Reason) -> Result<(), Error<'_>> {
        {
            #[allow(unused_variables)]
            let Sku(id) = &__arg0;
            let targets = {
                static REGION: ::cache::Region = ::cache::Region::named("short_term");
                let region = &REGION;
                [
                    ::cache::__private::target(Self::price_entry(id)),
                    ::cache::__private::target(self.stock_entry(id)),
                    region.invalidate_namespace("names"),
                ]
            };
            let call = ::cache::__private::write_async(
                ::core::concat!(::core::module_path!(), "::remove"),
                targets,
                ::cache::__private::Exits::only_ok(),
                (__arg0, __arg1),
                async move |(Sku(id), _)| -> Result<(), Error<'_>> {
                    let _ = &self;
                    { self.database.remove(id).await }
                },
            );
            call
        }
            .await
    }
}
