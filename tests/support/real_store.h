#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace ollamafs::test {

// A blob that the fixture leaves out, and its real size.
struct Weights {
  std::string_view hex;
  std::uint64_t size;
};

inline constexpr Weights kTiny = {
    "0e99dde4bf67760b2fa920dc92078f9fe91aa5520b918cea08f5aca595dc2593", 1483616};  // in both stores
inline constexpr Weights kChatty = {
    "027afc6fb981b41b4e7d3e802935a020fef07d001b10a6b38f8189708c8a805e", 5132384};
inline constexpr Weights kRequantised = {
    "e9b87daf3a727fa94aade5e24fe7bd9eb18d9a3f5acb673143c19ed93b18a899", 2736224};
inline constexpr Weights kPlain = {
    "6fabad9c46f4e8333265e647e83d3cd36259d2a0ec3998b418166f28e58d9d6f", 5132384};
inline constexpr Weights kProjector = {
    "6e5a326a5299242911d7d16c6199827a213fd9189f9932aeb5df25de27ae9467", 262656};
inline constexpr Weights kAdapter = {
    "b2f769a2feb2d9adcc0025fc6ec55268b3ac8c3df0c657e1f69101d31c88246b", 8544};

// Unpacks a store that a real Ollama server wrote (tests/fixtures/README.md) as the models folder
// `root`, which must not be there: of 0.33, and of a development build of 0.40. The weights are
// sparse files. Throws std::runtime_error if tar fails.
void unpack_real_store_v1(const std::filesystem::path& root);
void unpack_real_store_v2(const std::filesystem::path& root);

}  // namespace ollamafs::test
