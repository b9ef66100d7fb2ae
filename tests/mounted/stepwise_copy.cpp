#include "tests/mounted/stepwise_copy.h"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "store/digest.h"
#include "store/unique_fd.h"
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
    return names;
  } catch (const std::system_error&) {
    failed_ = true;
    return {};
  }
}

std::optional<std::string> StepwiseCopy::content(const fs::path& path) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) {
    failed_ = true;
    return std::nullopt;
  }
  step();
  std::string bytes;
  char buffer[100'000];
  ssize_t n = 0;
  while ((n = ::read(file.get(), buffer, sizeof buffer)) > 0) {
    bytes.append(buffer, static_cast<std::size_t>(n));
  }
  if (n == 0) return bytes;
  failed_ = true;
  return std::nullopt;
}

std::string StepwiseCopy::fault() const {
  if (manifest_.empty()) return failed_ ? "" : "no manifest, and no error";
  const auto manifest = nlohmann::json::parse(manifest_);
  auto layers = manifest.at("layers");
  layers.push_back(manifest.at("config"));
  for (const auto& layer : layers) {
    const Digest digest = Digest::parse(layer.at("digest").get<std::string>()).value();
    const auto blob = blobs_.find(digest.blob_name());
    if (blob == blobs_.end()) return "a manifest without its blob " + digest.blob_name();
    if (Digest::of(blob->second) != digest) return "damaged: " + digest.blob_name();
  }
  return "";
}

}  // namespace ollamafs::test
