//! What most operators say of themselves in a line.

/// Methods of an [`Operator`] that answer the same whatever its inputs: a kind of ONNX's by its name, a kind
/// that others name, or, written with a dot in front, what a field holds. Of two algebras with an `else` between them
/// it is the first where all inputs but the first are constant.
macro_rules! facts {
    (kind: $kind:literal $(, $($rest:tt)*)?) => {
        $crate::operator::facts!(kind: elucid_rules::OpKind::new($kind) $(, $($rest)*)?);
    };
    (kind: .$field:ident $(, $($rest:tt)*)?) => {
        fn kind(&self) -> elucid_rules::OpKind {
            self.$field
        }

        $($crate::operator::facts!($($rest)*);)?
    };
    (kind: $kind:expr $(, $($rest:tt)*)?) => {
        fn kind(&self) -> elucid_rules::OpKind {
            $kind
        }

        $($crate::operator::facts!($($rest)*);)?
    };
    (algebra: .$field:ident $(, $($rest:tt)*)?) => {
        fn algebra(&self, _constant: &[bool]) -> elucid_rules::Algebra {
            self.$field
        }

        $($crate::operator::facts!($($rest)*);)?
    };
    (algebra: $algebra:ident else $other:ident $(, $($rest:tt)*)?) => {
        fn algebra(&self, constant: &[bool]) -> elucid_rules::Algebra {
            match constant.iter().skip(1).all(|c| *c) {
                true => elucid_rules::Algebra::$algebra,
                false => elucid_rules::Algebra::$other,
            }
        }

        $($crate::operator::facts!($($rest)*);)?
    };
    (algebra: $algebra:ident $(, $($rest:tt)*)?) => {
        fn algebra(&self, _constant: &[bool]) -> elucid_rules::Algebra {
            elucid_rules::Algebra::$algebra
        }

        $($crate::operator::facts!($($rest)*);)?
    };
    (apart: $apart:ident $(, $($rest:tt)*)?) => {
        fn apart(&self, _inputs: &$crate::operator::Operands<'_>) -> $crate::operator::Apart {
            $crate::operator::Apart::$apart
        }

        $($crate::operator::facts!($($rest)*);)?
    };
    (most_outputs: $most:expr $(, $($rest:tt)*)?) => {
        fn most_outputs(&self) -> usize {
            $most
        }

        $($crate::operator::facts!($($rest)*);)?
    };
    (axis: .$field:ident $(, $($rest:tt)*)?) => {
        fn axis(&self) -> Option<i64> {
            Some(self.$field)
        }

        $($crate::operator::facts!($($rest)*);)?
    };
}
pub(crate) use facts;
