#include "src/mount/mount_report.h"

#include <nlohmann/json.hpp>

namespace ollamafs {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

void MountReport::add_broken(const std::string& model) {
  constexpr std::size_t most = 20;
  ++broken;
  if (broken_models.size() < most) broken_models.push_back(model);
}

std::string to_json(const MountReport& report) {
  const Json text = {{"store", report.store},
                     {"store_is_gone", report.is_gone},
                     {"models", report.models},
                     {"broken", report.broken},
                     {"broken_models", report.broken_models},
                     {"passthrough", report.passthrough ? Json(*report.passthrough) : Json()},
                     {"access", report.access},
                     {"since", report.since},
                     {"bytes_read", report.bytes_read},
                     {"pid", report.pid},
                     {"version", report.version}};
  return text.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::optional<MountReport> to_mount_report(std::string_view text) try {
  const Json parsed = Json::parse(text);
  MountReport report;
  parsed.at("store").get_to(report.store);
  parsed.at("store_is_gone").get_to(report.is_gone);
  parsed.at("models").get_to(report.models);
  parsed.at("broken").get_to(report.broken);
  parsed.at("broken_models").get_to(report.broken_models);
  if (const Json& passthrough = parsed.at("passthrough"); !passthrough.is_null())
    report.passthrough = passthrough.get<bool>();
  parsed.at("access").get_to(report.access);
  parsed.at("since").get_to(report.since);
  parsed.at("bytes_read").get_to(report.bytes_read);
  parsed.at("pid").get_to(report.pid);
  parsed.at("version").get_to(report.version);
  return report;
} catch (const Json::exception&) {
  return std::nullopt;
}

}  // namespace ollamafs
