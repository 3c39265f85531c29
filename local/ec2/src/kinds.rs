//! Where the resources are kept, and the only ways to look at them: what nobody may see yet is seen by no call.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::describe::{Describe, Query};
use crate::error::Ec2Error;
use crate::{Ec2, State};

/// A kind of resource that can be made here.
pub trait Kind: Describe + Clone + Send {
    /// What ARNs and tag specifications call it, `internet-gateway`.
    const TYPE: &'static str;

    fn table(state: &State) -> &Table<Self>;
    fn table_mut(state: &mut State) -> &mut Table<Self>;

    /// The VPC that policies know as `ec2:Vpc`, for the kinds that have this key.
    fn policy_vpc(&self) -> Option<&str> {
        None
    }

    /// The error of a mutating call for an id that does not exist, where EC2 spells it another way than in Describe.
    fn unknown(id: &str) -> Ec2Error {
        Self::not_found(id)
    }

    /// Those that MiniStack keeps: the default network and what CloudFormation has made for the stacks.
    fn adopted(_: &Ec2) -> impl Future<Output = Result<Vec<Self>, Ec2Error>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Brings up to date what follows from other resources, just before somebody looks.
    fn refresh(&mut self, _: &State) {}
}

/// The resources of one kind that were made here.
#[derive(Debug)]
pub struct Table<T>(BTreeMap<String, Entry<T>>);

#[derive(Debug)]
struct Entry<T> {
    /// What there is; nothing any more when it is deleted.
    actual: Option<T>,
    /// What calls see instead, each until its moment, oldest first: nothing yet, or what it was before a change.
    stale: Vec<(Instant, Option<T>)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Kind> Table<T> {
    /// Those that Describe lists, also some that are deleted.
    fn listed(&self) -> impl Iterator<Item = &T> {
        self.0.values().filter_map(Entry::seen)
    }

    /// Those that calls can name, the way they see them.
    pub fn seen(&self) -> impl Iterator<Item = &T> {
        self.0.values().filter(|entry| entry.actual.is_some()).filter_map(Entry::seen)
    }

    /// The one that a mutating call names, the way calls see it.
    pub fn find(&self, id: &str) -> Result<&T, Ec2Error> {
        let entry = self.0.get(id).filter(|entry| entry.actual.is_some());
        entry.and_then(Entry::seen).ok_or_else(|| T::unknown(id))
    }

    /// The one that a mutating call names, the way it is.
    pub fn actual(&self, id: &str) -> Result<&T, Ec2Error> {
        self.find(id)?;
        self.0.get(id).and_then(|entry| entry.actual.as_ref()).ok_or_else(|| T::unknown(id))
    }

    /// The one that Describe lists or that there is, whatever else calls see of it.
    pub fn known(&self, id: &str) -> Option<&T> {
        let entry = self.0.get(id)?;
        entry.actual.as_ref().or_else(|| entry.seen())
    }

    /// All there are, the way they are, also those that no call sees yet: for quotas, and for what depends on what.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.values().filter_map(|entry| entry.actual.as_ref())
    }

    /// All there are, for what EC2 does on its own.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut().filter_map(|entry| entry.actual.as_mut())
    }

    /// Drops one that EC2 itself takes away.
    pub fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// The same for all that are not to stay.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.0.retain(|_, entry| entry.actual.as_ref().is_none_or(&keep));
    }

    fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Whether it is deleted, and perhaps still listed.
    fn is_gone(&self, id: &str) -> bool {
        self.0.get(id).is_some_and(|entry| entry.actual.is_none())
    }
}

impl<T> Entry<T> {
    fn seen(&self) -> Option<&T> {
        let now = Instant::now();
        let stale = self.stale.iter().find(|(until, _)| *until > now);
        stale.map_or(&self.actual, |(_, before)| before).as_ref()
    }
}

impl Ec2 {
    /// Keeps a new resource, which a fault may hide for a while.
    pub(crate) fn insert<T: Kind>(&self, state: &mut State, resource: T) {
        let seen_from = self.after(self.faults.unseen(resource.tags()));
        let entries = &mut T::table_mut(state).0;
        entries.retain(|_, entry| entry.actual.is_some() || entry.seen().is_some());
        let id = resource.id().to_owned();
        entries.insert(id, Entry { actual: Some(resource), stale: vec![(seen_from, None)] });
    }

    /// The resource that a mutating call names, to change it; a fault may hide the change for a while.
    pub(crate) fn change<'a, T: Kind>(&self, state: &'a mut State, id: &str) -> Result<&'a mut T, Ec2Error> {
        let before = T::table(state).actual(id)?.clone();
        let seen_from = self.after(self.faults.unseen(before.tags()));
        let entry = T::table_mut(state).0.get_mut(id).ok_or_else(|| T::unknown(id))?;
        entry.stale.retain(|(until, _)| *until > Instant::now());
        entry.stale.push((seen_from, Some(before)));
        entry.actual.as_mut().ok_or_else(|| T::unknown(id))
    }

    /// Takes away a resource that somebody has deleted; a fault may let it be listed for a while.
    pub(crate) fn delete<T: Kind>(&self, state: &mut State, id: &str) {
        let Some(entry) = T::table_mut(state).0.get_mut(id) else { return };
        let Some(resource) = entry.actual.take() else { return };
        let listed_until = self.after(self.faults.lingers(resource.tags()));
        entry.stale.push((listed_until, Some(resource)));
    }

    fn after(&self, delay: Duration) -> Instant {
        Instant::now() + self.scale.real(delay)
    }

    /// What a Describe call answers: ours, and those of MiniStack.
    pub(crate) async fn select<T: Kind>(&self, query: &Query) -> Result<(Vec<T>, Option<String>), Ec2Error> {
        query.select(self.look(query.ids()).await?)
    }

    /// All of a kind that can be seen.
    pub(crate) async fn list<T: Kind>(&self) -> Result<Vec<T>, Ec2Error> {
        self.look(&[]).await
    }

    /// Those with the ids, wherever they are, for AWS's own services.
    pub(crate) async fn named<T: Kind>(&self, ids: &[String]) -> Result<Vec<T>, Ec2Error> {
        let all: Vec<T> = self.look(ids).await?;
        let state = self.state();
        let named = |id: &String| {
            let found = all.iter().find(|resource| resource.id() == id && !T::table(&state).is_gone(id));
            found.cloned().ok_or_else(|| T::not_found(id))
        };
        ids.iter().map(named).collect()
    }

    /// The resource that a mutating call names. MiniStack's are only read here. AWS documents no order of this check and
    /// of authorization, which needs the resource's tags: here what does not exist is told to anybody.
    pub(crate) async fn existing<T: Kind>(&self, id: &str) -> Result<T, Ec2Error> {
        T::check_id(id)?;
        let (found, ours) = {
            let state = self.state();
            (T::table(&state).find(id).cloned(), T::table(&state).has(id))
        };
        if !ours && T::adopted(self).await?.iter().any(|adopted| adopted.id() == id) {
            let message =
                format!("the local cloud changes no network but those of jobs, and {id} is not of one");
            return Err(Ec2Error::new("UnsupportedOperation", message));
        }
        found
    }

    /// At least all that the ids mean; MiniStack is not asked when all of them are ours.
    async fn look<T: Kind>(&self, ids: &[String]) -> Result<Vec<T>, Ec2Error> {
        let all_ours = {
            let state = self.state();
            !ids.is_empty() && ids.iter().all(|id| T::table(&state).has(id))
        };
        let adopted = if all_ours { Vec::new() } else { T::adopted(self).await? };
        let state = self.state();
        let mut all: Vec<T> = T::table(&state).listed().cloned().chain(adopted).collect();
        for resource in &mut all {
            resource.refresh(&state);
        }
        Ok(all)
    }
}
