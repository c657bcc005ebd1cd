//! What several methods are made of, here and in crates of their own.
//!
//! | module | gives |
//! |---|---|
//! | [`kept`] | rows of every training image, in memory or in a temporary file: pixels, feature maps, vectors |
//! | [`map_size`] | channels, height and width of maps, compared and stored |
//! | [`trainer`] | trainings of networks: progress, limits, checkpoints |
//! | [`map_network`] | a network on maps with sizes and loss curve, in a model's state and back |
//! | [`network_state`] | any network's weights and loss curve, in a model's state and back |
//! | [`defects`] | defective images with masks, made from good ones |
//! | [`box_mean`](mod@box_mean) | means over square windows |
//! | [`augment`] | random changes of images and what belongs to them |
//! | `graph` | banks, neighbourhoods and layers on one grid as parts of an ONNX graph |
//! | `layer_graph` | layers of trained networks as parts of such a graph |
//! | `flow_graph` | chains of invertible pieces as parts of such a graph |
//! | [`tensors`] | values between host, model files and devices |

pub mod augment;
pub(crate) mod bank;
pub mod box_mean;
pub(crate) mod couplings;
pub(crate) mod dcgan;
pub mod defects;
pub(crate) mod embedding;
pub(crate) mod encoder;
pub(crate) mod flow_graph;
pub(crate) mod graph;
pub mod kept;
pub(crate) mod layer_graph;
pub mod map_network;
pub mod map_size;
pub(crate) mod mean_of_largest;
pub mod network_state;
pub(crate) mod repainter;
pub(crate) mod sheet;
pub mod tensors;
pub mod trainer;
