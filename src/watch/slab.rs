//! A collection that gives each value a number until it is removed. Numbers are used again.

#[derive(Debug)]
pub(super) struct Slab<T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.values[number as usize] = Some(value);
            return number;
        }
        self.values.push(Some(value));
        u32::try_from(self.values.len() - 1).expect("fewer than 2^32 values")
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let taken = self.values.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(taken)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.values.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.values.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().flatten()
    }

    /// The numbers of all values with this property.
    pub(super) fn find_all(&self, is_wanted: impl Fn(&T) -> bool) -> impl Iterator<Item = u32> {
        (0..)
            .zip(&self.values)
            .filter(move |(_, value)| value.as_ref().is_some_and(&is_wanted))
            .map(|(number, _)| number)
    }

    /// The number of the first value with this property.
    pub(super) fn find(&self, is_wanted: impl Fn(&T) -> bool) -> Option<u32> {
        self.find_all(is_wanted).next()
    }
}
