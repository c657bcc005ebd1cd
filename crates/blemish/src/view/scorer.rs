//! Batches of whole images scored by one model, in the sessions of their sequences where its scores depend on the frames before.

use blemish_core::entry::Fitted;
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::map::{PatchScores, Scored};
use blemish_core::method::Session;
use blemish_data::{Facts, ImageBatch, Source};

/// Scores batches of whole images: each for itself, or frame after frame in the session of its sequence.
pub(super) struct Scorer<'m> {
    model: &'m dyn Fitted,
    session: Option<Running<'m>>,
    has_sessions: bool,
    /// See [`Session::of_whole`]: indices in the source and scores, of sequences that have ended.
    wholes: Vec<(usize, f32)>,
}

/// A sequence under way.
struct Running<'m> {
    sequence: u32,
    session: Box<dyn Session + 'm>,
    /// Indices in the source of the frames so far.
    frames: Vec<usize>,
}

impl<'m> Scorer<'m> {
    pub(super) fn new(model: &'m dyn Fitted) -> Self {
        Self { model, session: None, has_sessions: model.session().is_some(), wholes: Vec::new() }
    }

    /// The outcomes of a batch; `input` has positions in `images`, which are indices of the source.
    ///
    /// # Errors
    /// As the method's scoring.
    pub(super) fn score(
        &mut self,
        input: &Input<'_>,
        source: &dyn Source,
        images: &[usize],
    ) -> Result<Vec<Scored>, Error> {
        let facts: Vec<&Facts> = input.indices.iter().map(|&at| source.facts(images[at])).collect();
        let input = Input { facts: &facts, categories: source.categories(), ..*input };
        let stage = self.model.map_stage();
        if !self.has_sessions {
            return input.finish(stage, self.model.score(&input)?);
        }
        let mut scored = Vec::with_capacity(input.count());
        for at in 0..input.count() {
            let sequence = facts[at].moment.map(|moment| moment.sequence);
            let one = Single::of(&input, at);
            let patches = match sequence {
                // A single image is a sequence of its own.
                None => self.begin().score(&one.input())?,
                Some(sequence) => {
                    if self.session.as_ref().is_none_or(|running| running.sequence != sequence) {
                        self.end();
                        self.session = Some(Running { sequence, session: self.begin(), frames: Vec::new() });
                    }
                    match &mut self.session {
                        Some(running) => {
                            running.frames.push(images[input.indices[at]]);
                            running.session.score(&one.input())?
                        }
                        None => Vec::new(),
                    }
                }
            };
            scored.extend(input.finish(stage, patches)?);
        }
        Ok(scored)
    }

    /// Ends the sequence under way.
    fn end(&mut self) {
        let Some(Running { session, frames, .. }) = self.session.take() else { return };
        let scores = session.of_whole().unwrap_or_default();
        self.wholes.extend(frames.into_iter().zip(scores).filter_map(|(frame, score)| Some((frame, score?))));
    }

    /// Scores of frames by the method's rule for whole sequences, if it has one: indices in the source and scores.
    pub(super) fn finish(mut self) -> Vec<(usize, f32)> {
        self.end();
        self.wholes
    }

    fn begin(&self) -> Box<dyn Session + 'm> {
        // Whoever is asked here has said before that it has sessions.
        self.model.session().unwrap_or_else(|| Box::new(Stateless(self.model)))
    }
}

/// Scores frames as if they were single images.
struct Stateless<'m>(&'m dyn Fitted);

impl Session for Stateless<'_> {
    fn score(&mut self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.0.score(input)
    }
}

/// One image of a batch.
struct Single<'a> {
    whole: Input<'a>,
    at: usize,
    images: Option<ImageBatch>,
    maps: Option<FeatureBatch>,
}

impl<'a> Single<'a> {
    fn of(input: &Input<'a>, at: usize) -> Self {
        Self {
            whole: *input,
            at,
            images: input.images.map(|images| single_image(images, at)),
            maps: input.maps.map(|maps| maps.single(at)),
        }
    }

    fn input(&self) -> Input<'_> {
        Input {
            indices: &self.whole.indices[self.at..=self.at],
            facts: &self.whole.facts[self.at..=self.at],
            categories: self.whole.categories,
            images: self.images.as_ref(),
            maps: self.maps.as_ref(),
        }
    }
}

/// Image `at` of a batch, as a batch of its own.
fn single_image(batch: &ImageBatch, at: usize) -> ImageBatch {
    let (pixels, region_of_interest) = (batch.clip(at).to_vec(), batch.region_of_interest.clone());
    ImageBatch { count: 1, pixels, region_of_interest, ..*batch }
}
