//! Why a method cannot follow a block.

use elucid_graph::TokenAxis;

use super::blocks::{AttentionBlock, AttentionKind};
use crate::error::AttributionError;

impl AttentionBlock {
    /// The error for a block that a method cannot do with, and why not.
    pub(super) fn refused(&self, reason: impl Into<String>) -> AttributionError {
        AttributionError::Attention {
            block: self.name.clone(),
            reason: reason.into(),
        }
    }

    /// The error for a block that does not attend among the tokens of a picture, where one is needed that does.
    pub(super) fn not_among_tokens(&self) -> AttributionError {
        self.refused(match self.kind {
            AttentionKind::Queries => "it attends among queries that are no part of the picture",
            AttentionKind::Cross => {
                "it attends from queries that are no part of the picture; chefer follows those"
            }
            AttentionKind::Back => {
                "it attends to queries that are no part of the picture; chefer follows those"
            }
            _ => {
                "it attends within windows, from one set of tokens to another, or among tokens whose place \
                 in the picture is not known; grad-cam and others at a layer apply"
            }
        })
    }

    /// The error for a block that attends among other tokens than those before it.
    pub(super) fn other_tokens(&self, before: TokenAxis) -> AttributionError {
        let own = self.keys.or(self.queries);
        let own = own.map_or_else(String::new, |own| own.to_string());
        self.refused(format!(
            "it attends among {own} tokens, and the block before it among {before}"
        ))
    }
}
