//! Where the resources are kept, and the only ways to look at them: what nobody may see yet is seen by no call.

use std::collections::BTreeMap;
use std::time::Instant;

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
    seen_from: Instant,
    resource: T,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Kind> Table<T> {
    /// Those that calls can see.
    pub fn seen(&self) -> impl Iterator<Item = &T> {
        self.0.values().filter(|entry| entry.is_seen()).map(|entry| &entry.resource)
    }

    /// The one that a mutating call names.
    pub fn find(&self, id: &str) -> Result<&T, Ec2Error> {
        let entry = self.0.get(id).filter(|entry| entry.is_seen());
        entry.map(|entry| &entry.resource).ok_or_else(|| T::unknown(id))
    }

    /// The one that a mutating call names, to change it.
    pub fn find_mut(&mut self, id: &str) -> Result<&mut T, Ec2Error> {
        let entry = self.0.get_mut(id).filter(|entry| entry.is_seen());
        entry.map(|entry| &mut entry.resource).ok_or_else(|| T::unknown(id))
    }

    /// All there are, also those that no call sees yet: for quotas, and for what depends on what.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.values().map(|entry| &entry.resource)
    }

    /// All there are, for what EC2 does on its own.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut().map(|entry| &mut entry.resource)
    }

    pub fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.0.retain(|_, entry| keep(&entry.resource));
    }

    fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }
}

impl<T> Entry<T> {
    fn is_seen(&self) -> bool {
        Instant::now() >= self.seen_from
    }
}

impl Ec2 {
    /// Keeps a new resource, which a fault may hide for a while.
    pub(crate) fn insert<T: Kind>(&self, state: &mut State, resource: T) {
        let seen_from = Instant::now() + self.scale.real(self.faults.unseen(resource.tags()));
        let entry = Entry { seen_from, resource };
        T::table_mut(state).0.insert(entry.resource.id().to_owned(), entry);
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
        let named = |id: &String| {
            all.iter().find(|resource| resource.id() == id).cloned().ok_or_else(|| T::not_found(id))
        };
        ids.iter().map(named).collect()
    }

    /// The resource that a mutating call names. MiniStack's are only read here.
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
        let mut all: Vec<T> = T::table(&state).seen().cloned().chain(adopted).collect();
        for resource in &mut all {
            resource.refresh(&state);
        }
        Ok(all)
    }
}
