//! Policies, limits and parameters.

use leveret_message::name::Name;
use serde_json::{Map, Value};

use super::{IsNew, OperatorError};
use crate::broker::Broker;
use crate::definitions::settings as kept;
use crate::limits::VhostLimits;
use crate::parameters::{self, ParameterKey, Parameters, VHOST_LIMITS};
use crate::policies::{Policy, Sort};
use crate::users::UserLimits;
use crate::vhost::Vhost;

/// The name of the one parameter that has all limits of a vhost.
const LIMITS: &str = "limits";

impl Broker {
    /// Sets a policy or an operator policy, as definitions and the management API write it.
    ///
    /// **Effect**: on return the shards of the queues that it is for are told.
    ///
    /// **Errors**: [`OperatorError::NoSuchVhost`], [`OperatorError::Invalid`].
    pub fn put_policy(
        &self,
        sort: Sort,
        vhost: &Name,
        name: &Name,
        value: &Value,
    ) -> Result<IsNew, OperatorError> {
        let _door = self.operator.lock();
        let vhost = self.existing_vhost(vhost)?;
        let policy = Policy::parse(sort, name.clone(), value).map_err(OperatorError::Invalid)?;
        self.keep_parameter(sort.component(), &vhost.name, name, &policy.value());
        self.events.policy_set(&vhost.name, &policy);
        let is_new = vhost.policies.write().put(sort, policy);
        vhost.govern();
        Ok(IsNew(is_new))
    }

    /// Removes a policy or an operator policy. Returns whether there was one.
    ///
    /// **Errors**: [`OperatorError::NoSuchVhost`].
    pub fn delete_policy(
        &self,
        sort: Sort,
        vhost: &Name,
        name: &str,
    ) -> Result<bool, OperatorError> {
        let _door = self.operator.lock();
        let vhost = self.existing_vhost(vhost)?;
        let was_there = vhost.policies.write().remove(sort, name);
        if was_there {
            let key = kept::parameter_key(sort.component(), &vhost.name, name);
            self.definitions.undefine(&key);
            self.events.policy_cleared(&vhost.name, name);
            vhost.govern();
        }
        Ok(was_there)
    }

    /// Sets the limits of a vhost: `max-connections`, `max-queues`; none of those that are not named.
    ///
    /// **Errors**: as [`Broker::put_policy`].
    pub fn put_vhost_limits(&self, vhost: &Name, limits: &Value) -> Result<IsNew, OperatorError> {
        let _door = self.operator.lock();
        let vhost = self.existing_vhost(vhost)?;
        let limits = VhostLimits::check(limits).map_err(OperatorError::Invalid)?;
        let is_new = vhost.limits.value().is_empty();
        if limits.is_empty() {
            let key = kept::parameter_key(VHOST_LIMITS, &vhost.name, LIMITS);
            self.definitions.undefine(&key);
        } else {
            let value = Value::Object(limits.clone());
            self.keep_parameter(VHOST_LIMITS, &vhost.name, LIMITS, &value);
        }
        self.events.vhost_limits_set(&vhost.name, &limits);
        vhost.limits.set(limits);
        Ok(IsNew(is_new))
    }

    /// Sets the limits of a user.
    ///
    /// **Errors**: [`OperatorError::NoSuchUser`].
    pub fn put_user_limits(&self, name: &Name, limits: UserLimits) -> Result<(), OperatorError> {
        let user = self.users.user(name);
        let user = user.ok_or_else(|| OperatorError::NoSuchUser(name.clone()))?;
        let mut user = crate::users::User::clone(&user);
        user.limits = limits;
        self.put_user(user);
        Ok(())
    }

    /// Sets a parameter; those that the broker obeys are set where they are obeyed.
    ///
    /// **Errors**: as [`Broker::put_policy`].
    pub fn put_parameter(&self, key: ParameterKey, value: Value) -> Result<IsNew, OperatorError> {
        match &*key.component {
            "policy" => return self.put_policy(Sort::User, &key.vhost, &key.name, &value),
            "operator_policy" => {
                return self.put_policy(Sort::Operator, &key.vhost, &key.name, &value);
            }
            VHOST_LIMITS => return self.put_vhost_limits(&key.vhost, &value),
            component if !parameters::is_known(component) => {
                let reason = format!("component {component} not found");
                return Err(OperatorError::Invalid(reason));
            }
            _ => {}
        }
        let _door = self.operator.lock();
        self.existing_vhost(&key.vhost)?;
        self.keep_parameter(&key.component, &key.vhost, &key.name, &value);
        self.events.parameter_set(&key, &value);
        let before = self.parameters.write().by_key.insert(key, value);
        Ok(IsNew(before.is_none()))
    }

    /// Removes a parameter. Returns whether there was one.
    ///
    /// **Errors**: [`OperatorError::NoSuchVhost`].
    pub fn delete_parameter(&self, key: &ParameterKey) -> Result<bool, OperatorError> {
        match &*key.component {
            "policy" => return self.delete_policy(Sort::User, &key.vhost, &key.name),
            "operator_policy" => return self.delete_policy(Sort::Operator, &key.vhost, &key.name),
            VHOST_LIMITS => {
                let IsNew(none) = self.put_vhost_limits(&key.vhost, &Value::Object(Map::new()))?;
                return Ok(!none);
            }
            _ => {}
        }
        let _door = self.operator.lock();
        let was_there = self.parameters.write().by_key.remove(key).is_some();
        if was_there {
            self.events.parameter_cleared(key);
            let key = kept::parameter_key(&key.component, &key.vhost, &key.name);
            self.definitions.undefine(&key);
        }
        Ok(was_there)
    }

    /// Sets a global parameter.
    pub fn put_global_parameter(&self, name: &Name, value: Value) -> IsNew {
        let _door = self.operator.lock();
        let key = kept::global_parameter_key(name);
        self.definitions
            .define(&key, &kept::parameter_value(&value));
        let before = self.parameters.write().global.insert(name.clone(), value);
        IsNew(before.is_none())
    }

    /// Removes a global parameter. Returns whether there was one.
    pub fn delete_global_parameter(&self, name: &str) -> bool {
        let _door = self.operator.lock();
        let was_there = self.parameters.write().global.remove(name).is_some();
        if was_there {
            self.definitions.undefine(&kept::global_parameter_key(name));
        }
        was_there
    }

    /// The parameters that the broker keeps for others.
    pub fn parameters(&self) -> Parameters {
        self.parameters.read().clone()
    }

    /// Puts back what was written down. `false` where it cannot be taken any more.
    pub(crate) fn recover_parameter(&self, key: ParameterKey, value: Value) -> bool {
        let vhost = self.vhost_or_new(&key.vhost);
        let sort = match &*key.component {
            "policy" => Sort::User,
            "operator_policy" => Sort::Operator,
            VHOST_LIMITS => {
                let limits = VhostLimits::check(&value);
                return limits.map(|limits| vhost.limits.set(limits)).is_ok();
            }
            _ => {
                self.parameters.write().by_key.insert(key, value);
                return true;
            }
        };
        let policy = Policy::read(key.name, &value);
        policy
            .map(|policy| vhost.policies.write().put(sort, policy))
            .is_ok()
    }

    /// Under the operators' door.
    pub(super) fn forget_parameters_of(&self, vhost: &Vhost) {
        let mut parameters = self.parameters.write();
        for (key, _) in parameters
            .by_key
            .extract_if(.., |key, _| key.vhost == vhost.name)
        {
            let key = kept::parameter_key(&key.component, &key.vhost, &key.name);
            self.definitions.undefine(&key);
        }
        if !vhost.limits.value().is_empty() {
            let key = kept::parameter_key(VHOST_LIMITS, &vhost.name, LIMITS);
            self.definitions.undefine(&key);
        }
    }

    fn keep_parameter(&self, component: &str, vhost: &str, name: &str, value: &Value) {
        let key = kept::parameter_key(component, vhost, name);
        self.definitions.define(&key, &kept::parameter_value(value));
    }
}
