//! How well the detectors and the models do on recorded history.

pub mod crash;
