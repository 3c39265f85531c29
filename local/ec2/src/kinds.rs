//! Where resources are kept, and the only ways to look at them, each for those who look so: what nobody may see yet is
//! seen by no call.

use std::collections::BTreeMap;
use std::time::Duration;

use local_aws::clock::Clock;
use tokio::time::Instant;

use crate::describe::{Describe, Query};
use crate::error::ApiError;
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
    fn unknown(id: &str) -> ApiError {
        Self::not_found(id)
    }

    /// Those that MiniStack keeps: the default network and what CloudFormation has made for the stacks.
    fn adopted(_: &Ec2) -> impl Future<Output = Result<Vec<Self>, ApiError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Brings up to date what follows from other resources, just before somebody looks.
    fn refresh(&mut self, _: &State) {}
}

/// The resources of one kind that were made here. Nobody sees all of them the way they are (EC2 developer guide, "Eventual
/// consistency"), so there is a view for each who looks:
///
/// | | a new one | a changed one | a deleted one |
/// |---|---|---|---|
/// | Describe | when it can be seen | as it was, for a while | for a while |
/// | a call | when it can be seen | as it was, for a while | never |
/// | EC2 itself | at once | as it is | never |
/// | anyone | at once | as it is | for a while |
#[derive(Debug)]
pub struct Table<T>(BTreeMap<String, Entry<T>>);

#[derive(Debug)]
struct Entry<T> {
    clock: Clock,
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
    /// Those that Describe lists.
    fn seen_by_describe(&self) -> impl Iterator<Item = &T> {
        self.0.values().filter_map(Entry::seen)
    }

    /// Those that a call can name.
    pub fn seen_by_calls(&self) -> impl Iterator<Item = &T> {
        self.0.values().filter(|entry| entry.actual.is_some()).filter_map(Entry::seen)
    }

    /// The one that a call names.
    pub fn seen_by_call(&self, id: &str) -> Result<&T, ApiError> {
        let entry = self.0.get(id).filter(|entry| entry.actual.is_some());
        entry.and_then(Entry::seen).ok_or_else(|| T::unknown(id))
    }

    /// The one that a call names, the way EC2 itself sees it.
    pub fn named_by_call(&self, id: &str) -> Result<&T, ApiError> {
        self.seen_by_call(id)?;
        self.0.get(id).and_then(|entry| entry.actual.as_ref()).ok_or_else(|| T::unknown(id))
    }

    /// What EC2 itself sees: for quotas, and for what depends on what.
    pub fn seen_by_ec2(&self) -> impl Iterator<Item = &T> {
        self.0.values().filter_map(|entry| entry.actual.as_ref())
    }

    /// The same, for what EC2 does on its own.
    pub fn seen_by_ec2_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut().filter_map(|entry| entry.actual.as_mut())
    }

    /// The one that anyone sees: for policies, and for the log of calls.
    pub fn seen_by_anyone(&self, id: &str) -> Option<&T> {
        let entry = self.0.get(id)?;
        entry.actual.as_ref().or_else(|| entry.seen())
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
        let now = self.clock.instant();
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
        let (clock, stale) = (self.upstream.clock, vec![(seen_from, None)]);
        entries.insert(id, Entry { clock, actual: Some(resource), stale });
    }

    /// The resource that a mutating call names, to change it; a fault may hide the change for a while.
    pub(crate) fn change<'a, T: Kind>(&self, state: &'a mut State, id: &str) -> Result<&'a mut T, ApiError> {
        let before = T::table(state).named_by_call(id)?.clone();
        let seen_from = self.after(self.faults.unseen(before.tags()));
        let entry = T::table_mut(state).0.get_mut(id).ok_or_else(|| T::unknown(id))?;
        let now = self.upstream.clock.instant();
        entry.stale.retain(|(until, _)| *until > now);
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
        let clock = self.upstream.clock;
        clock.instant() + clock.scale.real(delay)
    }

    /// What a Describe call answers: ours, and those of MiniStack.
    pub(crate) async fn select<T: Kind>(&self, query: &Query) -> Result<(Vec<T>, Option<String>), ApiError> {
        query.select(self.look(query.ids()).await?)
    }

    /// All of a kind that one of AWS's own services sees.
    pub(crate) async fn seen_by_service<T: Kind>(&self) -> Result<Vec<T>, ApiError> {
        self.look(&[]).await
    }

    /// Those that one of AWS's own services names, wherever they are.
    pub(crate) async fn named_by_service<T: Kind>(&self, ids: &[String]) -> Result<Vec<T>, ApiError> {
        let all: Vec<T> = self.look(ids).await?;
        let state = self.state();
        let named = |id: &String| {
            let found = all.iter().find(|resource| resource.id() == id && !T::table(&state).is_gone(id));
            found.cloned().ok_or_else(|| T::not_found(id))
        };
        ids.iter().map(named).collect()
    }

    /// The resource that a call names, to change something. MiniStack's are only read here. AWS documents no order of this check and
    /// of authorization, which needs the resource's tags: here what does not exist is told to anybody.
    pub(crate) async fn seen_by_call<T: Kind>(&self, id: &str) -> Result<T, ApiError> {
        T::check_id(id)?;
        let (found, ours) = {
            let state = self.state();
            (T::table(&state).seen_by_call(id).cloned(), T::table(&state).has(id))
        };
        if !ours && T::adopted(self).await?.iter().any(|adopted| adopted.id() == id) {
            let message =
                format!("the local cloud changes no network but those of jobs, and {id} is not of one");
            return Err(ApiError::new("UnsupportedOperation", message));
        }
        found
    }

    /// The resource that a call names as the place of what it makes, which may be one of MiniStack's.
    pub(crate) async fn place_of_call<T: Kind>(&self, id: &str) -> Result<T, ApiError> {
        T::check_id(id)?;
        if T::table(&self.state()).has(id) {
            return T::table(&self.state()).seen_by_call(id).cloned();
        }
        T::adopted(self).await?.into_iter().find(|adopted| adopted.id() == id).ok_or_else(|| T::unknown(id))
    }

    /// At least all that the ids mean; MiniStack is not asked when all of them are ours.
    async fn look<T: Kind>(&self, ids: &[String]) -> Result<Vec<T>, ApiError> {
        let all_ours = {
            let state = self.state();
            !ids.is_empty() && ids.iter().all(|id| T::table(&state).has(id))
        };
        let adopted = if all_ours { Vec::new() } else { T::adopted(self).await? };
        let state = self.state();
        let mut all: Vec<T> = T::table(&state).seen_by_describe().cloned().chain(adopted).collect();
        for resource in &mut all {
            resource.refresh(&state);
        }
        Ok(all)
    }
}
