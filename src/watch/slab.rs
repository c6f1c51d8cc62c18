//! A collection that gives each value a number until it is removed. Numbers are used again.

#[derive(Debug)]
pub(super) struct Slab<T> {
    all: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { all: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(super) fn put(&mut self, what: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.all[number as usize] = Some(what);
            return number;
        }
        self.all.push(Some(what));
        u32::try_from(self.all.len() - 1).expect("no memory holds as many")
    }

    pub(super) fn take(&mut self, number: u32) -> Option<T> {
        let taken = self.all.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(taken)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.all.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.all.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.all.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.all.iter_mut().flatten()
    }

    /// The numbers of all values with this property.
    pub(super) fn all(&self, is_it: impl Fn(&T) -> bool) -> impl Iterator<Item = u32> {
        (0..)
            .zip(&self.all)
            .filter(move |(_, what)| what.as_ref().is_some_and(&is_it))
            .map(|(number, _)| number)
    }

    /// The number of the first value with this property.
    pub(super) fn find(&self, is_it: impl Fn(&T) -> bool) -> Option<u32> {
        self.all(is_it).next()
    }
}
