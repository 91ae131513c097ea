//! Part of a list whose order its entries do not come in.

use crate::store::images::ImageOrder;

/// Part of a list.
#[derive(Clone, Copy, Debug)]
pub struct PageOf {
    /// The order of the list.
    pub order: ImageOrder,
    /// True for the reverse order.
    pub descending: bool,
    /// Number of images to skip.
    pub skip: usize,
    /// Maximum number of images to return.
    pub limit: usize,
}

impl PageOf {
    /// Returns a selection of this part, without entries.
    pub(super) fn gather<T>(self) -> Gathered<T> {
        Gathered { page: self, total: 0, last: None, entries: Vec::new() }
    }
}

/// Selection of the entries of a part. It keeps at most twice as many as the part and what precedes it have, because
/// keeping all takes as long as reading them.
pub(super) struct Gathered<T> {
    page: PageOf,
    total: usize,
    /// The last entry that can be in the part, once it is known.
    last: Option<Position>,
    entries: Vec<(Position, T)>,
}

/// Position of an entry in the list: its place in the order, then the order in which entries came.
type Position = (i128, usize);

impl<T> Gathered<T> {
    /// Adds the next entry, which has this place in the order.
    pub(super) fn add(&mut self, place: i128, entry: T) {
        let position = (place, self.total);
        // The complement reverses the order of numbers.
        let position = if self.page.descending { (!position.0, !position.1) } else { position };
        self.total += 1;
        if self.last.is_none_or(|last| position < last) {
            self.entries.push((position, entry));
            self.drop_surplus();
        }
    }

    /// Returns the number of entries that were added.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Returns the entries of the part, in the order of the list.
    pub(super) fn page(mut self) -> Vec<T> {
        self.entries.sort_unstable_by_key(|(position, _)| *position);
        let entries = self.entries.into_iter().map(|(_, entry)| entry);
        entries.skip(self.page.skip).take(self.page.limit).collect()
    }

    fn drop_surplus(&mut self) {
        let wanted = self.page.skip.saturating_add(self.page.limit);
        if self.entries.len() < wanted.saturating_mul(2).max(1) {
            return;
        }
        if wanted > 0 {
            let (_, last, _) = self.entries.select_nth_unstable_by_key(wanted - 1, |(position, _)| *position);
            self.last = Some(last.0);
        }
        self.entries.truncate(wanted);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_part_is_what_the_whole_sorted_list_has_there(
            places in prop::collection::vec(-3_i128..4, 0..60), descending: bool, skip in 0_usize..50, limit in 0_usize..50,
        ) {
            let places: Vec<(i128, usize)> = places.into_iter().zip(0..).collect();
            let mut sorted = places.clone();
            sorted.sort_unstable();
            if descending {
                sorted.reverse();
            }
            let wanted: Vec<usize> = sorted.into_iter().map(|(_, number)| number).skip(skip).take(limit).collect();
            let mut gathered = PageOf { order: ImageOrder::Pulls, descending, skip, limit }.gather();
            for (place, number) in &places {
                gathered.add(*place, *number);
            }
            prop_assert_eq!(gathered.total(), places.len());
            prop_assert_eq!(gathered.page(), wanted);
        }
    }
}
