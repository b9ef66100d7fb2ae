#include "store/layout/tensors_file.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "store/base/text.h"
#include "store/blobs/blob.h"
#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

using TensorsJson = nlohmann::json;

constexpr std::uint64_t kLengthBytes = 8;
constexpr const char* kMetadata = "__metadata__";

// A tensor's shape is the deepest that the format has. What is deeper is left out: copying it would
// cost stack for each level.
constexpr int kMaxTensorDepth = 3;

[[noreturn]] void fail(const Digest& blob, const std::string& why) {
  throw TensorsError{fmt::format("blob {} {}", blob.blob_name(), why)};
}

// What says nothing about the blob is not said of it: the next call may read it.
void refuse_trouble(const StoreDir& store, const Digest& blob, const std::error_code& ec) {
  if (is_shortage(ec) || is_disk_failure(ec)) {
    throw std::system_error{ec, (store.path() / "blobs" / blob.blob_name()).string()};
  }
}

// A blob with tensors in it.
struct TensorBlob {
  Digest digest;
  std::string layer;  // its name in the manifest
  TensorsJson header;
  std::uint64_t data;  // where it begins in the blob, bytes
  std::uint64_t size;  // of the data, bytes
};

std::uint64_t little_endian(const std::array<char, kLengthBytes>& bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

std::string little_endian(std::uint64_t value) {
  std::string bytes(kLengthBytes, '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(value & 0xff);
    value >>= 8;
  }
  return bytes;
}

bool is_shape(const TensorsJson& shape) {
  return shape.is_array() && std::ranges::all_of(shape, [](const TensorsJson& size) {
           return size.is_number_unsigned();
         });
}

void check_tensor(const Digest& blob, const TensorsJson& tensor) {
  if (!tensor.contains("dtype") || !tensor["dtype"].is_string() || !tensor.contains("shape") ||
      !is_shape(tensor["shape"])) {
    fail(blob, "has a tensor without a type and a shape");
  }
}

// The range of a tensor in its blob's data.
struct DataRange {
  std::uint64_t begin;
  std::uint64_t end;

  auto operator<=>(const DataRange&) const = default;
};

DataRange data_range_of(const Digest& blob, const TensorsJson& tensor) {
  const auto at = tensor.is_object() ? tensor.find("data_offsets") : tensor.end();
  if (at == tensor.end() || !at->is_array() || at->size() != 2 || !(*at)[0].is_number_unsigned() ||
      !(*at)[1].is_number_unsigned()) {
    fail(blob, "has a tensor without data_offsets");
  }
  return {(*at)[0].get<std::uint64_t>(), (*at)[1].get<std::uint64_t>()};
}

// Readers refuse a file whose tensors overlap, or leave data between them or behind them.
void check_ranges(const TensorBlob& blob) {
  std::vector<DataRange> ranges;
  ranges.reserve(blob.header.size());
  for (const auto& [name, tensor] : blob.header.items()) {
    if (name == kMetadata) continue;
    ranges.push_back(data_range_of(blob.digest, tensor));
    check_tensor(blob.digest, tensor);
  }
  std::ranges::sort(ranges);
  std::uint64_t end = 0;
  for (const DataRange& range : ranges) {
    if (range.begin != end || range.end < range.begin) {
      fail(blob.digest, "has tensors that are not side by side");
    }
    end = range.end;
  }
  if (end != blob.size) fail(blob.digest, "has other data than its header says");
}

// The name of a tensor in the file. Ollama's image models have a layer for each tensor of each of
// their components, "text_encoder/x.weight", whose blob leaves the component out, or calls the
// tensor "data".
std::string tensor_name(const TensorBlob& blob, const std::string& key) {
  const bool is_alone = blob.header.size() - blob.header.count(kMetadata) == 1;
  if (is_alone && key == "data" && !blob.layer.empty()) return blob.layer;
  const auto slash = blob.layer.rfind('/');
  const std::string component = slash == std::string::npos ? "" : blob.layer.substr(0, slash + 1);
  return key.starts_with(component) ? key : component + key;
}

// Puts the file together, one blob after the other.
class TensorsFile {
 public:
  TensorsFile(const StoreDir& store, const TensorsLimits& limits)
      : store_{store}, left_{limits.all_headers}, limits_{limits} {}

  void add(const StoredLayer& layer) {
    TensorBlob blob = read(*layer.digest, std::string{layer.name});
    check_ranges(blob);
    if (is_new(blob)) blobs_.push_back(std::move(blob));
  }

  Layout finish() && {
    std::ranges::stable_sort(blobs_, std::greater{}, [](const TensorBlob& blob) {
      return std::min(std::countr_zero(blob.size), 3);  // no type has more than eight bytes
    });
    const std::string text = header();
    Layout::Builder file;
    file.generated(little_endian(text.size()) + text);
    for (const TensorBlob& blob : blobs_) file.blob(blob.digest, blob.size, blob.data);
    return std::move(file).finish();
  }

 private:
  // Not one that is there already under the same names.
  [[nodiscard]] bool is_new(const TensorBlob& blob) {
    for (const auto& [key, tensor] : blob.header.items()) {
      if (key != kMetadata) return seen_.emplace(blob.digest, tensor_name(blob, key)).second;
    }
    return seen_.emplace(blob.digest, "").second;
  }

  [[nodiscard]] TensorBlob read(const Digest& digest, std::string layer) {
    std::error_code ec;
    const StoreDir::Opened file = open_blob(store_, digest, ec);
    refuse_trouble(store_, digest, ec);
    if (ec) fail(digest, open_failure(ec));
    struct stat st {};
    if (store_.calls().fstat(file.fd.get(), st) != 0) {
      throw std::system_error{errno, std::generic_category(), digest.blob_name()};
    }
    const auto total = static_cast<std::uint64_t>(st.st_size);
    std::array<char, kLengthBytes> start{};
    read_all(digest, file.fd.get(), start.data(), start.size(), 0);
    const std::uint64_t length = little_endian(start);
    if (length > total - kLengthBytes) fail(digest, "is no safetensors file");
    if (length > std::min(limits_.header, left_)) fail(digest, "has a header that is too large");
    left_ -= length;
    std::string text(static_cast<std::size_t>(length), '\0');
    read_all(digest, file.fd.get(), text.data(), text.size(), kLengthBytes);
    const auto shallow = [](int depth, TensorsJson::parse_event_t, TensorsJson&) {
      return depth <= kMaxTensorDepth;
    };
    TensorsJson header = TensorsJson::parse(text, shallow, false);
    if (!header.is_object()) fail(digest, "has a header that is no JSON object");
    const std::uint64_t data = kLengthBytes + length;
    return {digest, std::move(layer), std::move(header), data, total - data};
  }

  void read_all(const Digest& digest, int fd, char* to, std::size_t size,
                std::uint64_t offset) const {
    std::error_code ec;
    if (read_fully(store_.calls(), fd, to, size, offset, ec) != size) {
      refuse_trouble(store_, digest, ec);
      fail(digest, ec ? "cannot be read: " + ec.message() : "is no safetensors file");
    }
  }

  // Padded by blanks, so that the data begins at a multiple of eight bytes.
  [[nodiscard]] std::string header() const {
    TensorsJson all = TensorsJson::object();
    std::uint64_t start = 0;
    for (const TensorBlob& blob : blobs_) {
      for (const auto& [key, tensor] : blob.header.items()) {
        if (key != kMetadata) add_tensor(all, blob, tensor_name(blob, key), tensor, start);
      }
      start += blob.size;
    }
    if (TensorsJson metadata = this->metadata(); !metadata.empty()) {
      all[kMetadata] = std::move(metadata);
    }
    std::string text = all.dump();
    if (text.size() > limits_.all_headers) {
      throw TensorsError{"the tensors need a header that is too large"};
    }
    text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');
    return text;
  }

  static void add_tensor(TensorsJson& all, const TensorBlob& blob, const std::string& name,
                         const TensorsJson& tensor, std::uint64_t start) {
    if (all.contains(name)) {
      fail(blob.digest, fmt::format("has a tensor {} that another blob has too", printable(name)));
    }
    const DataRange range = data_range_of(blob.digest, tensor);
    TensorsJson moved = tensor;
    moved["data_offsets"] = {start + range.begin, start + range.end};
    all[name] = std::move(moved);
  }

  [[nodiscard]] TensorsJson metadata() const {
    std::map<std::string, std::map<std::string, std::size_t>> blobs;  // by key and value
    for_each_metadata([&](const TensorBlob&, const std::string& key, const std::string& value) {
      ++blobs[key][value];
    });
    TensorsJson all = TensorsJson::object();
    for_each_metadata(
        [&](const TensorBlob& blob, const std::string& key, const std::string& value) {
          const bool all_say_so = blobs[key][value] == blobs_.size();
          all[all_say_so ? key : blob.layer + "." + key] = value;
        });
    return all;
  }

  // Keys and values are texts there, by the format; what is none is not taken over.
  template <class Visit>
  void for_each_metadata(const Visit& visit) const {
    for (const TensorBlob& blob : blobs_) {
      const auto metadata = blob.header.find(kMetadata);
      if (metadata == blob.header.end() || !metadata->is_object()) continue;
      for (const auto& [key, value] : metadata->items()) {
        if (value.is_string()) visit(blob, key, value.template get_ref<const std::string&>());
      }
    }
  }

  const StoreDir& store_;
  std::uint64_t left_;  // of all headers, bytes
  TensorsLimits limits_;
  std::set<std::pair<Digest, std::string>> seen_;  // with the name of its first tensor
  std::vector<TensorBlob> blobs_;
};

}  // namespace

Layout tensors_file(const StoreDir& store, const Model& model, const TensorsLimits& limits) {
  TensorsFile file{store, limits};
  for (const StoredLayer& layer : model.manifest->layers) {
    if (layer.kind == LayerKind::tensor && layer.digest) file.add(layer);
  }
  try {
    return std::move(file).finish();
  } catch (const std::overflow_error&) {
    throw TensorsError{"the tensors are too large for one file"};
  }
}

}  // namespace ollamafs
