#include "src/say/human.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <ctime>

namespace ollamafs {
namespace {

std::string human_duration(std::int64_t seconds) {
  const std::int64_t minutes = seconds / 60;
  const auto hours = static_cast<std::int64_t>(std::llround(static_cast<double>(seconds) / 3600));
  const std::int64_t days = hours / 24;
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return fmt::format("{} seconds", seconds);
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return fmt::format("{} minutes", minutes);
  if (hours == 1) return "About an hour";
  if (hours < 48) return fmt::format("{} hours", hours);
  if (days < 14) return fmt::format("{} days", days);
  if (days < 60) return fmt::format("{} weeks", days / 7);
  if (days < 730) return fmt::format("{} months", days / 30);
  return fmt::format("{} years", days / 365);
}

}  // namespace

std::string human_size(std::int64_t bytes) {
  struct Unit {
    double bytes;
    const char* name;
  };
  constexpr std::array<Unit, 4> units = {{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "KB"}}};
  for (const Unit& unit : units) {
    const double value = static_cast<double>(bytes) / unit.bytes;
    if (value < 1) continue;
    if (value >= 10 || value == std::trunc(value))
      return fmt::format("{:.0f} {}", std::trunc(value), unit.name);
    return fmt::format("{:.1f} {}", value, unit.name);
  }
  return fmt::format("{} B", bytes);
}

std::string human_time(std::int64_t then, std::int64_t now) {
  constexpr std::int64_t forever = 21LL * 365 * 24 * 3600;
  if (then <= now) return human_duration(now - then) + " ago";
  return then - now >= forever ? "Forever" : human_duration(then - now) + " from now";
}

std::string utc_time(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  if (!::gmtime_r(&time, &parts)) return std::to_string(seconds);
  char text[40];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace ollamafs
