//! Questions about types as they are written: the attribute sees no more of them than their tokens.

use proc_macro2::TokenTree;
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    GenericArgument, Lifetime, ParenthesizedGenericArguments, Path, PathArguments, PathSegment, ReturnType, Signature,
    Type, TypeFnPtr, TypeImplTrait, TypeReference,
};

use crate::item::any_token;

/// Whether a lifetime other than `'static` shows in the result: its errors then cannot be asked whether they are
/// `'static`, because the compiler answers such questions without regard to lifetimes and complains afterwards.
pub(crate) fn shows_lifetime(ty: &Type) -> bool {
    struct Lifetimes(bool);
    impl<'ast> Visit<'ast> for Lifetimes {
        fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
            self.0 |= lifetime.ident != "static";
        }
        fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
            self.0 |= reference.lifetime.is_none();
            visit::visit_type_reference(self, reference);
        }
        fn visit_type_fn_ptr(&mut self, _: &'ast TypeFnPtr) {}
        fn visit_parenthesized_generic_arguments(&mut self, _: &'ast ParenthesizedGenericArguments) {}
    }
    let mut lifetimes = Lifetimes(false);
    lifetimes.visit_type(ty);
    lifetimes.0
}

/// The part of a result that is kept: `T` of what looks like a `Result<T, ..>`, else all.
pub(crate) fn kept(ty: &Type) -> &Type {
    let Type::Path(path) = strip(ty) else { return ty };
    let Some(last) = path.path.segments.last() else { return ty };
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return ty };
    let first = arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    match first {
        Some(value) if last.ident.to_string().ends_with("Result") => value,
        _ => ty,
    }
}

/// Without parentheses and invisible groups around it.
pub(crate) fn strip(ty: &Type) -> &Type {
    match ty {
        Type::Paren(paren) => strip(&paren.elem),
        Type::Group(group) => strip(&group.elem),
        ty => ty,
    }
}

/// Whether it is `&str`, with any lifetime.
pub(crate) fn is_text(ty: &Type) -> bool {
    match strip(ty) {
        Type::Reference(TypeReference { mutability: None, elem, .. }) => {
            matches!(strip(elem), Type::Path(path) if path.path.is_ident("str"))
        }
        _ => false,
    }
}

/// A type as people write it, rather than as tokens are printed.
pub(crate) fn shown(ty: impl ToTokens) -> String {
    let mut text = ty.to_token_stream().to_string();
    for (tokens, written) in
        [(" < ", "<"), (" >", ">"), ("> ", ">"), (" :: ", "::"), (" ,", ","), ("& ", "&"), ("' ", "'")]
    {
        text = text.replace(tokens, written);
    }
    text
}

pub(crate) fn is_static(lifetime: &Lifetime) -> bool {
    lifetime.ident == "static"
}

/// Whether `ty` is a type parameter of the function `sig`, or a projection of one.
pub(crate) fn is_generic(ty: &Type, sig: &Signature) -> bool {
    let is_param = |path: &Path| {
        let first = path.segments.first().map(|segment| &segment.ident);
        path.leading_colon.is_none() && sig.generics.type_params().any(|param| Some(&param.ident) == first)
    };
    match strip(ty) {
        Type::Path(path) => match &path.qself {
            Some(qself) => is_generic(&qself.ty, sig),
            None => is_param(&path.path),
        },
        _ => false,
    }
}

pub(crate) fn shows_mutable_reference(ty: &Type) -> bool {
    struct Mutable(bool);
    impl<'ast> Visit<'ast> for Mutable {
        fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
            self.0 |= reference.mutability.is_some();
            visit::visit_type_reference(self, reference);
        }
        fn visit_type_fn_ptr(&mut self, _: &'ast TypeFnPtr) {}
        fn visit_parenthesized_generic_arguments(&mut self, _: &'ast ParenthesizedGenericArguments) {}
    }
    let mut mutable = Mutable(false);
    mutable.visit_type(ty);
    mutable.0
}

pub(crate) fn shows_future(ty: &Type) -> bool {
    let opaque = matches!(strip(ty), Type::ImplTrait(_))
        || find_segment(ty, |segment| segment.ident == "Pin" || segment.ident == "Box").is_some();
    opaque
        && any_token(ty.to_token_stream(), &mut |token| matches!(token, TokenTree::Ident(ident) if ident == "Future"))
}

/// The result of a function that is not `async`, if it is seen to be a future.
pub(crate) fn returns_future(sig: &Signature) -> Option<&Type> {
    let (None, ReturnType::Type(_, ty)) = (&sig.asyncness, &sig.output) else { return None };
    let boxed = find_segment(ty, |segment| segment.ident == "BoxFuture" || segment.ident == "LocalBoxFuture").is_some();
    (boxed || shows_future(ty)).then_some(&**ty)
}

pub(crate) fn find_impl_trait(ty: &Type) -> Option<&TypeImplTrait> {
    struct Find<'a>(Option<&'a TypeImplTrait>);
    impl<'ast> Visit<'ast> for Find<'ast> {
        fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
            self.0.get_or_insert(ty);
        }
    }
    let mut find = Find(None);
    find.visit_type(ty);
    find.0
}

pub(crate) fn find_segment(ty: &Type, is: impl Fn(&PathSegment) -> bool) -> Option<PathSegment> {
    struct Find<F>(F, Option<PathSegment>);
    impl<'ast, F: Fn(&PathSegment) -> bool> Visit<'ast> for Find<F> {
        fn visit_path_segment(&mut self, segment: &'ast PathSegment) {
            if self.1.is_none() && (self.0)(segment) {
                self.1 = Some(segment.clone());
            }
            visit::visit_path_segment(self, segment);
        }
    }
    let mut find = Find(is, None);
    find.visit_type(ty);
    find.1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use quote::quote;
    use syn::parse_quote;

    #[test]
    fn lifetimes_are_seen_wherever_they_stand() {
        for yes in [
            quote!(Result<u8, Bad<'a>>),
            quote!(Result<u8, Bad<'_>>),
            quote!(Result<u8, Box<dyn Error + 'a>>),
            quote!(&str),
        ] {
            assert!(shows_lifetime(&syn::parse2(yes.clone()).unwrap()), "{yes}");
        }
        for no in
            [quote!(Result<u8, Bad>), quote!(Cow<'static, str>), quote!(Box<dyn Fn(&str) -> u8>), quote!(fn(&str))]
        {
            assert!(!shows_lifetime(&syn::parse2(no.clone()).unwrap()), "{no}");
        }
    }

    #[test]
    fn a_text_is_a_reference_to_str() {
        for yes in [quote!(&str), quote!(&'a str), quote!((&str))] {
            assert!(is_text(&syn::parse2(yes.clone()).unwrap()), "{yes}");
        }
        for no in
            [quote!(String), quote!(&String), quote!(&mut str), quote!(&&str), quote!(&my::str), quote!(Option<&str>)]
        {
            assert!(!is_text(&syn::parse2(no.clone()).unwrap()), "{no}");
        }
    }

    #[test]
    fn what_is_kept_of_a_result_is_its_first_type() {
        let ty: Type = parse_quote!(io::Result<Vec<u8>>);
        assert_eq!(kept(&ty).to_token_stream().to_string(), "Vec < u8 >");
        let ty: Type = parse_quote!(Option<u8>);
        assert_eq!(kept(&ty).to_token_stream().to_string(), "Option < u8 >");
    }
}
