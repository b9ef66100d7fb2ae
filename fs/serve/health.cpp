#include "fs/serve/health.h"

#include <fmt/format.h>

#include <utility>

#include "fs/tree/model_notices.h"
#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

std::string reason_of(const std::error_code& ec) {
  const bool is_named = ec.category() == blob_fault_category();
  return ec == std::errc::io_error && !is_named ? "it is damaged or not the file that it was"
                                                : ec.message();
}

// Of what is shown, or else of what only archives are made of.
std::optional<FileIdentity> file_of(const Tree& tree, const Digest& blob) {
  for (const Catalog* const catalog : {&tree.catalog(), &tree.stored()}) {
    if (const auto index = catalog->blob_index(blob)) return catalog->blobs()[*index].identity;
  }
  return std::nullopt;
}

}  // namespace

Health::Health(const NodeTable& nodes, const BlobPool& pool, ManifestGuard& guard,
               OnBadBlob on_bad_blob, OnStale on_stale)
    : nodes_{nodes},
      pool_{pool},
      guard_{guard},
      on_bad_blob_{std::move(on_bad_blob)},
      on_stale_{std::move(on_stale)} {}

bool Health::is_broken(const NodeRef& node) const noexcept {
  const Model* const model = node.tree->model(*node);
  return model && bad_blobs_.has_fault(*model);
}

std::string_view Health::stand_in_name(const NodeRef& directory) const noexcept {
  if (directory->is_directory() && is_broken(directory)) return Tree::kBroken;
  return directory.tree->stand_in_name(*directory);
}

std::error_code Health::failed(const OpenLayout::Failure& failure) noexcept try {
  if (failure.error == BlobFault::unverified) return failure.error;
  if (is_shortage(failure.error)) return failure.error;
  if (!may_pass(failure)) blob_is_bad(failure);
  return io_error();
} catch (...) {
  guard_.missed_something();
  return io_error();
}

// Whether the next process may have the blob, although nothing changes in the store from now on:
// because the store has another file for it already. Who met the old one has missed it.
bool Health::may_pass(const OpenLayout::Failure& failure) const {
  if (failure.error == BlobFault::changed) return true;
  const auto now = file_of(*nodes_.current(), failure.blob);
  return now && !same_file(*now, failure.file);
}

void Health::blob_is_bad(const OpenLayout::Failure& failure) {
  const std::string reason = reason_of(failure.error);
  if (!bad_blobs_.add(failure.blob, failure.file, reason)) return;
  // Another file may have been found for it meanwhile, which must not be taken for the bad one.
  if (may_pass(failure)) return bad_blobs_.forget(failure.blob);
  const auto tree = nodes_.current();
  if (const auto index = tree->catalog().blob_index(failure.blob))
    on_stale_(ways_through(*tree, tree->catalog().users(*index)));
  on_bad_blob_(fmt::format("blob {} could not be read: {}; all models that need it are broken now",
                           failure.blob.blob_name(), reason));
}

void Health::changed(const Tree& before, const Tree& after) {
  bad_blobs_.forget_changed([&](const Digest& blob) { return file_of(before, blob); },
                            [&](const Digest& blob) { return file_of(after, blob); });
}

std::error_code Health::check_blobs(const NodeRef& manifest) {
  const Catalog& catalog = manifest.tree->catalog();
  std::error_code first;
  for (const std::uint32_t index : manifest.tree->model(*manifest)->blobs) {
    const Blob& blob = catalog.blobs()[index];
    const auto ec = pool_.check(blob);
    if (!ec) continue;
    const auto answer = failed({ec, blob.digest, blob.identity});
    if (!first) first = answer;
  }
  return first;
}

}  // namespace ollamafs
