//! Values that a forward pass may replace.

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param,
    ParamId,
};
use burn::tensor::{Device, Tensor};
use std::sync::{PoisonError, RwLock};

/// A vector that is kept with a network's weights and that no optimiser trains; a forward pass on `&self` may replace it.
///
/// A clone has a value of its own.
#[derive(Debug)]
pub struct Running {
    id: ParamId,
    value: RwLock<Tensor<1>>,
}

impl Running {
    /// Of a first value.
    pub fn new(value: Tensor<1>) -> Self {
        Self::with_id(ParamId::new(), value)
    }

    fn with_id(id: ParamId, value: Tensor<1>) -> Self {
        Self { id, value: RwLock::new(value.detach().set_require_grad(false)) }
    }

    /// The value.
    pub fn val(&self) -> Tensor<1> {
        self.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the value by another of the same length.
    pub fn set(&self, value: Tensor<1>) {
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = value.detach().set_require_grad(false);
    }

    fn changed(self, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> Self {
        let value = self.value.into_inner().unwrap_or_else(PoisonError::into_inner);
        Self::with_id(self.id, change(value))
    }
}

impl Clone for Running {
    fn clone(&self) -> Self {
        Self::with_id(self.id, self.val())
    }
}

impl Module for Running {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_float(&Param::initialized(self.id, self.val()));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let id = self.id;
        self.changed(|value| mapper.map_float(Param::initialized(id, value)).consume().1)
    }

    fn to_device(self, device: &Device) -> Self {
        self.changed(|value| value.to_device(device))
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn collect_devices(&self, mut devices: Devices) -> Devices {
        let device = self.val().device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        Self { id: self.id, value: RwLock::new(self.val().without_autodiff()) }
    }

    fn train(self) -> Self {
        self.changed(Tensor::from_inner)
    }
}

impl std::fmt::Display for Running {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Running({})", self.id)
    }
}

impl ModuleDisplayDefault for Running {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&self.to_string()).optional()
    }
}

impl ModuleDisplay for Running {}
