#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "store/catalog/catalog.h"

namespace ollamafs {

// The blobs that failed while they were read. Every model that names such a blob is broken from
// then on: copiers read blobs before manifests, so none that met the error gets the manifest
// (design §4). A blob that is damaged is bad until its file changes. One that could not be had
// because this process was short of something is bad until it has been had.
//
// Safe to use from several threads.
class BadBlobs {
 public:
  enum class Cause : std::uint8_t { damage, shortage };

  // `hold` is how long a tool may be at a model between one request and the next.
  explicit BadBlobs(std::chrono::milliseconds hold) : hold_{hold} {}

  // Remembers that reading `blob` from `file` failed. True if that was not known before.
  bool add(const Digest& blob, const FileIdentity& file, Cause cause, const std::string& reason);

  // Remembers that some blob failed, for want of memory not which: all models are broken for the
  // hold.
  void add_unknown() noexcept;

  // To be called when `after` takes the place of `before`: forgets the damage of what is another
  // file since, and another than the one that failed.
  void forget_changed(const Catalog& before, const Catalog& after);

  // Whether `blob` is bad, but only by a shortage; and that it is so no more.
  [[nodiscard]] bool is_short(const Digest& blob) const;
  void end_shortage(const Digest& blob);

  // Whether the model cannot be copied as a whole. Needs no memory.
  [[nodiscard]] bool has_fault(const Model& model) const noexcept;

  // Why the model cannot be copied as a whole: its first fault, or a blob that failed since;
  // nothing if the model is whole. A printable sentence.
  [[nodiscard]] std::optional<std::string> fault_of(const Model& model) const;

 private:
  using Clock = std::chrono::steady_clock;

  const std::chrono::milliseconds hold_;
  mutable std::mutex mutex_;
  Clock::time_point all_until_{};
  struct Fault {
    FileIdentity file;
    Cause cause;
    std::string reason;
  };
  std::unordered_map<Digest, Fault> faults_;
};

}  // namespace ollamafs
