#pragma once

#include <cstddef>

#include "tests/support/store_builder.h"

namespace ollamafs::test {

// Fills a store with one model of every shape in docs/store-format.md §12, in both trees: text
// models that share weights, vision with a projector, an adapter, a cloud model, one blob per
// tensor, a list with its anchor and shadow tag, Hugging Face, a registry with a port. Small: a few
// megabytes.
void write_sample_models(const StoreBuilder& store);

// `count` small models with names like bulk/model-17:q4, each with a few blobs of its own and some
// shared.
void write_many_models(const StoreBuilder& store, std::size_t count);

// One model of `count` tensors, bulk/tensors:latest.
void write_tensor_model(const StoreBuilder& store, std::size_t count);

// One of everything that can be wrong: models that are broken, files that are no models.
void write_broken_models(const StoreBuilder& store);

}  // namespace ollamafs::test
