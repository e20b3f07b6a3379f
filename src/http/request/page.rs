//! Lists in pages, newest first: `limit` items, after the one that `after` names.

use std::str::FromStr;

use super::id::ResourceId;
use super::parameters::Parameters;
use crate::http::answer::problem::Problem;

const LONGEST: i64 = 200;
const USUAL: i64 = 50;

/// How many items of a list are wanted.
pub(crate) fn limit(parameters: &Parameters) -> Result<i64, Problem> {
    let parse = |text: &str| text.parse().ok().filter(|limit| (1..=LONGEST).contains(limit));
    let limit = parameters.get("limit", parse, &format!("a whole number from 1 to {LONGEST}"))?;
    Ok(limit.unwrap_or(USUAL))
}

/// A page that is asked for. `I` is what items are known by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageRequest<I> {
    limit: i64,
    /// The last item of the page before.
    pub after: Option<I>,
}

impl<I: ResourceId> PageRequest<I> {
    /// The page that the parameters `limit` and `after` ask for.
    pub(crate) fn of(parameters: &Parameters) -> Result<Self, Problem> {
        Self::by(parameters, &format!("the id of a {}", I::WHAT))
    }
}

impl<I: FromStr> PageRequest<I> {
    /// As [`Self::of`], of items that are known by `what`.
    pub(crate) fn by(parameters: &Parameters, what: &str) -> Result<Self, Problem> {
        let after = parameters.get("after", |text| text.parse().ok(), what)?;
        Ok(Self { limit: limit(parameters)?, after })
    }
}

impl<I> PageRequest<I> {
    /// Items to fetch: one more than the page has, which tells whether there is a next one.
    pub(crate) fn to_fetch(&self) -> i64 {
        self.limit + 1
    }

    /// The page, and what `after` of the next one is; `None` on the last.
    pub(crate) fn cut<T>(&self, mut fetched: Vec<T>, id: impl Fn(&T) -> I) -> (Vec<T>, Option<I>) {
        let limit = self.limit as usize;
        let next = (fetched.len() > limit).then(|| id(&fetched[limit - 1]));
        fetched.truncate(limit);
        (fetched, next)
    }
}
