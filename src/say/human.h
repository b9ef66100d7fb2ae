#pragma once

#include <cstdint>
#include <string>

namespace ollamafs {

// Sizes and times as `ollama list` prints them (docs/store-format.md §6).

// Decimal units; below 10 one decimal unless it is a whole number: "2.0 GB", "482 MB", "70 B".
[[nodiscard]] std::string human_size(std::int64_t bytes);

// How long before `now` the time `then` was, both in seconds since the epoch: "3 weeks ago".
[[nodiscard]] std::string human_time(std::int64_t then, std::int64_t now);

// ISO 8601 in UTC, for machines: "2026-10-03T18:04:05Z".
[[nodiscard]] std::string utc_time(std::int64_t seconds);

}  // namespace ollamafs
