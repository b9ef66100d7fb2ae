// The layout of a model's archive, read by libarchive and by a reader of its headers.
#include "store/layout/archive.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "store/layout/tar_header.h"
#include "tests/fuzz/archive_model.h"
#include "tests/fuzz/archive_oracle.h"
#include "tests/fuzz/check.h"

namespace ollamafs::test {
namespace {

// docs/view.md §3: the blobs in the order of their digests, then the manifest.
std::vector<Member> expected_members(const Model& model) {
  std::vector<Member> members;
  for (const BlobRef& blob : model.manifest->blobs) {
    members.push_back(
        {"blobs/sha256-" + blob.digest.hex(), blob.size, content_time(blob.digest), 0});
  }
  const ModelName& name = model.name;
  members.push_back(
      {"manifests/" + name.host() + "/" + name.name_space() + "/" + name.model() + "/" + name.tag(),
       model.manifest->bytes.size(), content_time(model.manifest->digest), 0});
  return members;
}

// Segments without gaps, each blob whole and in its place.
void check_segments(const Layout& layout, const std::vector<Member>& members) {
  std::uint64_t at = 0;
  std::uint64_t generated = 0;
  bool after_generated = false;
  for (const Segment& segment : layout.segments()) {
    OLLAMAFS_CHECK(segment.start == at && segment.size > 0);
    at += segment.size;
    if (segment.is_generated()) {
      OLLAMAFS_CHECK(!after_generated && segment.source == generated);
      generated += segment.size;
    } else {
      OLLAMAFS_CHECK(segment.blob < layout.blobs().size() && segment.source == 0);
      const Member& member = members[segment.blob];
      OLLAMAFS_CHECK(segment.start == member.data && segment.size == member.size);
      OLLAMAFS_CHECK(member.path == layout.blobs()[segment.blob].blob_path());
    }
    after_generated = segment.is_generated();
  }
  OLLAMAFS_CHECK(at == layout.size() && generated == layout.generated().size());
}

// What of each segment lies in a range: its place, its offset in the segment, its length.
using Parts = std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>>;

Parts parts_by_layout(const Layout& layout, std::uint64_t offset, std::uint64_t length) {
  Parts parts;
  layout.for_each_in(offset, length,
                     [&](const Segment& segment, std::uint64_t at, std::uint64_t n) {
                       parts.emplace_back(segment.start, at, n);
                     });
  return parts;
}

// Looks at every segment.
Parts parts_one_by_one(const Layout& layout, std::uint64_t offset, std::uint64_t length) {
  Parts parts;
  const unsigned __int128 end = static_cast<unsigned __int128>(offset) + length;
  for (const Segment& segment : layout.segments()) {
    const std::uint64_t from = std::max(offset, segment.start);
    const auto to = static_cast<std::uint64_t>(
        std::min(end, static_cast<unsigned __int128>(segment.start) + segment.size));
    if (from < to) parts.emplace_back(segment.start, from - segment.start, to - from);
  }
  return parts;
}

std::uint64_t offset_in(const Layout& layout, Input& input) {
  if (input.byte() % 2 == 0) return input.number(8);
  const auto segments = layout.segments();
  const Segment& segment = segments[input.up_to(segments.size() - 1, 1)];
  return (input.byte() % 2 ? segment.start : segment.end()) + input.byte() - 128;  // may wrap
}

void check_ranges(const Layout& layout, Input& input) {
  const auto check_range = [&](std::uint64_t offset, std::uint64_t length) {
    OLLAMAFS_CHECK_FOR(
        parts_by_layout(layout, offset, length) == parts_one_by_one(layout, offset, length),
        std::to_string(offset) + "+" + std::to_string(length));
  };
  check_range(0, layout.size());
  check_range(0, std::numeric_limits<std::uint64_t>::max());
  check_range(layout.size() - 1, 2);
  check_range(layout.size(), 1);
  for (int i = 0; i < 16 && !input.empty(); ++i) {
    const std::uint64_t from = offset_in(layout, input);
    check_range(from, offset_in(layout, input) - from);
    check_range(from, input.number(3));
  }
}

// Paths and sizes that no model has, for the pax records' own lengths.
void check_header(Input& input) {
  const std::size_t length = 1 + input.up_to(1200, 2);
  std::string path(length, 'p');
  for (int i = input.byte() % 8; i > 0; --i) path[input.up_to(length - 1, 2)] = '/';
  path.front() = 'r';  // relative
  const std::uint64_t size = input.number(8) & INT64_MAX;
  const std::string header = tar_header(path, size, 0);
  OLLAMAFS_CHECK(header.size() == tar_header_size(path, size) && header.size() % kTarBlock == 0);
  if (size > INT64_MAX / 2) return;
  const Layout layout =
      std::move(Layout::Builder{}
                    .generated(header)
                    .blob(Digest{}, size)
                    .zeros(tar_padding(size))
                    .zeros(tar_padding(header.size() + size + tar_padding(size) + 2 * kTarBlock,
                                       kTarRecord) +
                           2 * kTarBlock))
          .finish();
  const std::vector<Member> members = read_by_headers(layout);
  OLLAMAFS_CHECK_FOR(members.size() == 1 && members[0].path == path && members[0].size == size,
                     path);
}

void check(const std::uint8_t* data, std::size_t length) {
  Input input{data, length};
  const Model model = model_from(input);
  const std::uint64_t size = archive_size(model);
  OLLAMAFS_CHECK(size <= INT64_MAX);
  check_header(input);
  if (!model.whole()) return;

  const Layout layout = archive_layout(model);
  OLLAMAFS_CHECK(layout.size() == size && size % kTarRecord == 0);
  std::vector<Member> members = read_by_headers(layout);
  check_segments(layout, members);
  for (Member& member : members) member.data = 0;
  OLLAMAFS_CHECK(members == expected_members(model));
  OLLAMAFS_CHECK(read_by_libarchive(layout, model.manifest->bytes) == members);
  check_ranges(layout, input);
}

}  // namespace
}  // namespace ollamafs::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ollamafs::test::check(data, size);
  return 0;
}
