#include "tests/mounted/stepwise_copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "store/base/dir_stream.h"
#include "store/base/unique_fd.h"
#include "store/model/digest.h"

namespace ollamafs::test {

namespace fs = std::filesystem;

StepwiseCopy::StepwiseCopy(const fs::path& model, Between between, const Options& options)
    : between_{std::move(between)}, by_descriptor_{options.by_descriptor}, blobs_{options.has} {
  step();
  (void)names(model);
  step();
  for (const std::string& name : names(model / "blobs")) {
    step();
    if (blobs_.contains(name)) continue;
    if (auto bytes = content(model / "blobs" / name)) blobs_[name] = *bytes;
  }
  fs::path at = model / "manifests";
  for (int depth = 0; depth < 4; ++depth) {
    step();
    const auto next = names(at);
    if (next.empty()) {
      failed_ = true;
      return;
    }
    at /= next.front();
  }
  step();
  if (auto bytes = content(at)) manifest_ = *bytes;
}

UniqueFd StepwiseCopy::open(const fs::path& path, int flags) const {
  const auto parent = directories_.find(path.parent_path());
  if (!by_descriptor_ || parent == directories_.end())
    return UniqueFd{::open(path.c_str(), flags | O_RDONLY | O_CLOEXEC)};
  const std::string name = path.filename();
  return UniqueFd{::openat(parent->second.get(), name.c_str(), flags | O_RDONLY | O_CLOEXEC)};
}

std::vector<std::string> StepwiseCopy::names(const fs::path& directory) {
  std::vector<std::string> names;
  UniqueFd fd = open(directory, O_DIRECTORY);
  const DirStream stream{fd ? ::fdopendir(::dup(fd.get())) : nullptr};
  errno = fd ? 0 : errno;
  while (const dirent* const entry = stream ? ::readdir(stream.get()) : nullptr) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  const int error = errno;
  note(directory, error == 0 ? "listed" : std::strerror(error));
  if (error != 0) {
    failed_ = true;
    return {};
  }
  if (by_descriptor_) directories_[directory] = std::move(fd);
  return names;
}

std::optional<std::string> StepwiseCopy::content(const fs::path& path) {
  const UniqueFd file = open(path, 0);
  ssize_t n = -1;
  std::string bytes;
  if (file) {
    step();
    char buffer[100'000];
    while ((n = ::read(file.get(), buffer, sizeof buffer)) > 0) {
      bytes.append(buffer, static_cast<std::size_t>(n));
    }
  }
  note(path, n == 0 ? "read" : std::strerror(errno));
  if (n == 0) return bytes;
  failed_ = true;
  return std::nullopt;
}

void StepwiseCopy::note(const fs::path& path, const char* what) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin_);
  events_ += "\n" + std::to_string(ms.count()) + " ms: " + path.string() + ": " + what;
}

std::string StepwiseCopy::fault() const {
  if (manifest_.empty()) return failed_ ? "" : "no manifest, and no error" + events_;
  const auto manifest = nlohmann::json::parse(manifest_);
  auto layers = manifest.at("layers");
  layers.push_back(manifest.at("config"));
  for (const auto& layer : layers) {
    const Digest digest = Digest::parse(layer.at("digest").get<std::string>()).value();
    const auto blob = blobs_.find(digest.blob_name());
    if (blob == blobs_.end()) return "a manifest without its blob " + digest.blob_name() + events_;
    if (Digest::of(blob->second) != digest) return "damaged: " + digest.blob_name() + events_;
  }
  return "";
}

}  // namespace ollamafs::test
