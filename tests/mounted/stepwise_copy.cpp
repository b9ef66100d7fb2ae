#include "tests/mounted/stepwise_copy.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "store/base/unique_fd.h"
#include "store/model/digest.h"
#include "tests/mounted/walk.h"

namespace ollamafs::test {

namespace fs = std::filesystem;

StepwiseCopy::StepwiseCopy(const fs::path& model, Between between) : between_{std::move(between)} {
  step();
  (void)names(model);
  step();
  for (const std::string& name : names(model / "blobs")) {
    step();
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

std::vector<std::string> StepwiseCopy::names(const fs::path& directory) {
  try {
    std::vector<std::string> names = listing(directory);
    std::erase_if(names, [](const std::string& name) { return name == "." || name == ".."; });
    note(directory, "listed");
    return names;
  } catch (const std::system_error& error) {
    failed_ = true;
    note(directory, std::strerror(error.code().value()));
    return {};
  }
}

std::optional<std::string> StepwiseCopy::content(const fs::path& path) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
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
