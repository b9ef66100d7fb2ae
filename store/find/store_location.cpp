#include "store/find/store_location.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "store/access/store_access.h"
#include "store/base/text.h"
#include "store/find/server_process.h"
#include "store/find/systemd_unit.h"
#include "store/folder/store_dir.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;
using State = StoreCandidate::State;

constexpr const char* kUnit = "ollama.service";
constexpr const char* kUsualPlace = "a usual place";
constexpr const char* kInHome = ".ollama/models";
constexpr const char* kAdvice = "give --store DIR or set OLLAMA_MODELS";

struct User {
  fs::path home;
  uid_t uid;
};

std::optional<User> find_user(const std::string& name) {
  std::vector<char> buffer(1U << 16);
  passwd entry{};
  passwd* found = nullptr;
  ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  return found ? std::optional{User{found->pw_dir, found->pw_uid}} : std::nullopt;
}

// For people: its number if it has no name.
std::string name_of(uid_t uid) {
  std::vector<char> buffer(1U << 16);
  passwd entry{};
  passwd* found = nullptr;
  ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  return found ? printable(found->pw_name) : std::to_string(uid);
}

fs::path on_host(const Host& host, const fs::path& path) {
  return host.root / path.relative_path();
}

// An absolute path without the "." and slashes at the end that people type. ".." stays: what it
// means is for the kernel to say.
fs::path tidy(const fs::path& path) {
  fs::path out;
  for (const fs::path& part : path) {
    if (!part.empty() && part != ".") out /= part;
  }
  return out;
}

// True if there is a file exactly `levels` levels of directories below `directory`. Stops at the
// first. What cannot be listed holds none; no name in a manifest tree begins with a dot.
bool holds_file(const fs::path& directory, int levels) {
  std::error_code ec;
  for (fs::directory_iterator it{directory, ec}, end; !ec && it != end; it.increment(ec)) {
    if (it->path().filename().native().starts_with('.')) continue;
    std::error_code ignored;
    const bool is_directory = it->is_directory(ignored);
    if (levels == 0 ? !is_directory : is_directory && holds_file(it->path(), levels - 1)) {
      return true;
    }
  }
  return false;
}

State state_of(const fs::path& path) {
  if (find_barrier(path)) return State::unreadable;
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    return errno == ENOENT || errno == ENOTDIR ? State::missing : State::unreadable;
  }
  for (const char* const part : kStoreFolders) {
    std::error_code ec;
    if (fs::is_directory(path / part, ec)) return State::store;
  }
  return State::not_store;
}

StoreCandidate look(const Host& host, const fs::path& path, std::string source) {
  constexpr int kAboveTags = 3;  // host, namespace, model
  const fs::path real = on_host(host, path);
  const State state = state_of(real);
  const bool has_models = state == State::store && (holds_file(real / "manifests", kAboveTags) ||
                                                    holds_file(real / "manifests-v2", kAboveTags));
  return {path, std::move(source), state, has_models};
}

bool may_be_store(const StoreCandidate& candidate) {
  return candidate.state == State::store || candidate.state == State::unreadable;
}

// The same for two candidates that are one store, however they are spelled. For what cannot be
// looked at this is the directory that stops us: behind it nothing can be told apart.
fs::path identity(const Host& host, const StoreCandidate& candidate) {
  const fs::path path = on_host(host, candidate.path);
  if (const auto barrier = find_barrier(path)) return barrier->directory;
  std::error_code ec;
  const fs::path real = fs::canonical(path, ec);
  return ec ? path : real;
}

// A store that was not taken. Printable.
std::string shown(const StoreCandidate& other) {
  const std::string path = printable(other.path.native());
  return other.state == State::untrusted ? fmt::format("{} of {}", path, other.source) : path;
}

// The store of which people name a part, or the folder above it; empty: none.
fs::path store_near(const Host& host, const fs::path& path) {
  const auto is_store = [&](const fs::path& near) {
    return may_be_store(look(host, near, "a guess"));
  };
  if (is_store(path / "models")) return path / "models";
  const bool is_part = std::ranges::find(kStoreFolders, path.filename()) != std::end(kStoreFolders);
  return is_part && is_store(path.parent_path()) ? path.parent_path() : fs::path{};
}

// What is wrong with a candidate that is no store. Printable.
std::string complaint(const Host& host, const StoreCandidate& candidate) {
  const std::string path = printable(candidate.path.native());
  if (candidate.state == State::missing) return path + ": nothing is there";
  std::string text =
      path + ": is no models folder, it holds neither manifests/, manifests-v2/ nor blobs/";
  const fs::path meant = store_near(host, candidate.path);
  if (!meant.empty()) text += fmt::format("; did you mean {}?", printable(meant.native()));
  return text;
}

// Whether it can become a store.
bool can_be_filled(const Host& host, const StoreCandidate& candidate) {
  if (candidate.state == State::missing) return true;
  const fs::path path = on_host(host, candidate.path);
  std::error_code ec;
  return candidate.state == State::not_store && fs::is_directory(path, ec) &&
         fs::is_empty(path, ec) && !ec;
}

enum class Wanted { store, store_to_fill };

// The store that the user named, in `source`.
StoreCandidate named_store(const Host& host, std::string_view value, const std::string& source,
                           Wanted wanted) {
  std::error_code ec;
  const fs::path path = fs::absolute(value, ec);
  if (ec) {
    throw StoreNotFound{
        fmt::format("{}: {}: the current directory: {}", source, printable(value), ec.message())};
  }
  StoreCandidate candidate = look(host, tidy(path), source);
  if (may_be_store(candidate)) return candidate;
  if (wanted == Wanted::store_to_fill && can_be_filled(host, candidate)) return candidate;
  const std::string hint =
      value.starts_with("~/") ? "; a ~ is only expanded by a shell: write the path out" : "";
  throw StoreNotFound{fmt::format("{}: {}{}", source, complaint(host, candidate), hint)};
}

// Root reaches what a container has by its processes.
std::string in_container(const ServerProcess& server) {
  const fs::path place = fmt::format("/proc/{}/root", server.pid);
  const std::string store =
      server.models ? shell_word((place / server.models->relative_path()).native()) : "DIR";
  return fmt::format(
      "a server runs in a container (pid {}): its store is, as root and while that runs, --store "
      "{}{}",
      server.pid, store, server.models ? "" : ", the folder of its volume");
}

// Where the service keeps its models. Nothing if the unit does not tell.
std::optional<fs::path> models_of(const ServiceUnit& unit, const Host& host) {
  const auto& environment = unit.environment;
  if (const auto models = environment.find("OLLAMA_MODELS"); models != environment.end()) {
    if (!models->second) return std::nullopt;
    const fs::path path{trimmed_setting(*models->second)};
    if (!path.empty()) return path.is_absolute() ? std::optional{path} : std::nullopt;
  }
  std::optional<fs::path> home;
  if (const auto set = environment.find("HOME"); set != environment.end()) {
    home = set->second;
  } else if (unit.user) {
    home = host.home_of(unit.user->empty() ? "root" : *unit.user);
  }
  return home && home->is_absolute() ? std::optional{*home / kInHome} : std::nullopt;
}

// Everything on the machine that may be the store, the best first.
class Candidates {
 public:
  explicit Candidates(const Host& host) : host_{host}, unit_{read_service_unit(host.root, kUnit)} {
    add_servers();
    add_unit();
    telling_ = std::ssize(all_);
    add_usual_places();
  }

  // Throws StoreNotFound.
  [[nodiscard]] StoreCandidate choose(Wanted wanted) const {
    const bool to_fill = wanted == Wanted::store_to_fill;
    for (auto told = all_.begin(); told != all_.begin() + telling_; ++told) {
      if (may_be_store(*told) || (to_fill && can_be_filled(host_, *told))) return *told;
      if (told->state == State::not_store) throw StoreNotFound{no_store_in(*told)};
    }
    const auto usual = all_.begin() + telling_;
    auto taken = std::ranges::find(usual, all_.end(), true, &StoreCandidate::has_models);
    for (const State next : {State::unreadable, State::store}) {
      if (taken != all_.end()) break;
      taken = std::ranges::find(usual, all_.end(), next, &StoreCandidate::state);
    }
    if (taken == all_.end() && to_fill) {
      taken = std::find_if(usual, all_.end(),
                           [this](const StoreCandidate& candidate) { return is_own(candidate); });
    }
    if (taken == all_.end()) throw StoreNotFound{nothing_found()};
    return *taken;
  }

  // Servers whose stores are not among them.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

  // The stores besides `taken`, each once, and what is said to be one by servers that we do not
  // believe.
  [[nodiscard]] std::vector<StoreCandidate> others(const StoreCandidate& taken) const {
    std::set<fs::path> known{identity(host_, taken)};
    std::vector<StoreCandidate> stores;
    std::ranges::copy_if(all_, std::back_inserter(stores), [&](const StoreCandidate& candidate) {
      return may_be_store(candidate) && known.insert(identity(host_, candidate)).second;
    });
    std::ranges::copy_if(untrusted_, std::back_inserter(stores), [&](const StoreCandidate& said) {
      return said.path != taken.path && !std::ranges::count(all_, said.path, &StoreCandidate::path);
    });
    return stores;
  }

 private:
  void add(const fs::path& place, std::string source) {
    const fs::path path = tidy(place);
    if (std::ranges::find(all_, path, &StoreCandidate::path) != all_.end()) return;
    all_.push_back(look(host_, path, std::move(source)));
  }

  void add_servers() {
    for (const ServerProcess& server : running_servers(host_.root, host_.uid)) {
      if (server.other_namespace) {
        notes_.push_back(in_container(server));
      } else if (server.models && !believed(server)) {
        const char* way = server.own_word ? "a server that {} runs (pid {})"
                                          : "a program that runs as {} for somebody else (pid {})";
        untrusted_.push_back({tidy(*server.models),
                              fmt::format(fmt::runtime(way), name_of(server.uid), server.pid),
                              State::untrusted});
      } else if (server.models) {
        add(*server.models, fmt::format("the running server (pid {})", server.pid));
      } else {
        notes_.push_back(fmt::format(
            "a server runs (pid {}), but its settings may not be read: try with sudo", server.pid));
      }
    }
  }

  void add_unit() {
    if (const auto models = unit_ ? models_of(*unit_, host_) : std::nullopt) add(*models, kUnit);
  }

  // Root would open to its caller whatever a server names, so not anybody's will do.
  [[nodiscard]] bool believed(const ServerProcess& server) const {
    if (!host_.as_root) return true;
    if (!server.own_word) return false;
    const auto is_user = [&](const std::string& name) {
      return name == std::to_string(server.uid) || host_.uid_of(name) == server.uid;
    };
    const bool is_units = unit_ && unit_->user && is_user(*unit_->user);
    return server.uid == 0 || server.uid == host_.uid || is_user("ollama") || is_units;
  }

  void add_usual_places() {
    add_open_home(host_.environment("HOME").value_or(""));
    if (!host_.sudo_user.empty()) add_open_home(host_.home_of(host_.sudo_user).value_or(""));
    add_home("/usr/share/ollama");
    add_home(host_.home_of("ollama").value_or(""));
    for (const char* const path :
         {"/var/lib/ollama", "/var/lib/ollama/models", "/var/lib/ollama/.ollama/models",
          "/var/snap/ollama/common/models"}) {
      add(path, kUsualPlace);
    }
    add_open_home("/root");
  }

  // A person's home, unless it is closed to us: unlike a service's that is no sign of a store. To
  // ordinary users /root is closed almost everywhere, and HOME may be somebody else's.
  void add_open_home(const fs::path& home) {
    if (::faccessat(AT_FDCWD, on_host(host_, home).c_str(), X_OK, AT_EACCESS) == 0 ||
        errno != EACCES) {
      add_home(home);
    }
  }

  void add_home(const fs::path& home) {
    if (home.is_absolute()) add(home / kInHome, kUsualPlace);
  }

  [[nodiscard]] std::string no_store_in(const StoreCandidate& candidate) const {
    std::string text =
        fmt::format("the store of {}: {}\n", candidate.source, complaint(host_, candidate));
    for (const StoreCandidate& other : others(candidate)) {
      text += fmt::format("there is also {}\n", shown(other));
    }
    return text + kAdvice;
  }

  [[nodiscard]] std::string nothing_found() const {
    std::string text = "no Ollama store was found; looked at:\n";
    for (const StoreCandidate& candidate : all_) {
      text += fmt::format("  {} ({})\n", complaint(host_, candidate), candidate.source);
    }
    for (const StoreCandidate& said : untrusted_) {
      text += fmt::format("not looked at: {}, of {}\n", printable(said.path.native()), said.source);
    }
    for (const std::string& note : notes_) text += note + "\n";
    return text + kAdvice;
  }

  // Whether a server that this user starts would make it.
  [[nodiscard]] bool is_own(const StoreCandidate& candidate) const {
    const fs::path home = host_.sudo_user.empty() ? fs::path{host_.environment("HOME").value_or("")}
                                                  : host_.home_of(host_.sudo_user).value_or("");
    return home.is_absolute() && candidate.path == tidy(home / kInHome) &&
           can_be_filled(host_, candidate);
  }

  const Host& host_;
  const std::optional<ServiceUnit> unit_;
  std::vector<StoreCandidate> all_;
  std::vector<StoreCandidate> untrusted_;
  std::ptrdiff_t telling_ = 0;      // how many of them a server or the unit told
  std::vector<std::string> notes_;  // printable lines
};

std::string why(const StoreCandidate& taken) {
  const std::string& source = taken.source;
  if (source == "--store" || source == "OLLAMA_MODELS") return "named by " + source;
  if (source != kUsualPlace) return "the store of " + source;
  if (taken.has_models) return "the first of the usual places that holds a model";
  if (taken.state == State::store) return "the first of the usual places, none holds a model";
  if (taken.state == State::missing || taken.state == State::not_store)
    return "where Ollama would make one, there is none yet";
  return "a usual place that may not be looked at, no other holds a model";
}

StoreChoice choice(StoreCandidate taken, std::vector<StoreCandidate> others,
                   std::vector<std::string> notes) {
  std::string reason = fmt::format("{}: {}", printable(taken.path.native()), why(taken));
  std::string names;
  for (const StoreCandidate& other : others) {
    names += (names.empty() ? "" : ", ") + shown(other);
  }
  if (!names.empty()) reason += fmt::format(" (not taken: {})", names);
  return {std::move(taken), std::move(reason), std::move(others), std::move(notes)};
}

StoreChoice find(const fs::path& given, const Host& host, Wanted wanted) {
  if (const auto value = trimmed_setting(given.native()); !value.empty()) {
    return choice(named_store(host, value, "--store", wanted), {}, {});
  }
  const std::string setting = host.environment("OLLAMA_MODELS").value_or("");
  const auto value = trimmed_setting(setting);
  std::optional<StoreCandidate> named;
  if (!value.empty()) named = named_store(host, value, "OLLAMA_MODELS", wanted);
  const Candidates candidates{host};
  const StoreCandidate taken = named ? *named : candidates.choose(wanted);
  return choice(taken, candidates.others(taken), candidates.notes());
}

}  // namespace

Host Host::current() {
  Host host;
  host.environment = [](const std::string& name) -> std::optional<std::string> {
    const char* const value = std::getenv(name.c_str());
    return value ? std::optional<std::string>{value} : std::nullopt;
  };
  host.home_of = [](const std::string& name) -> std::optional<fs::path> {
    const auto user = find_user(name);
    return user ? std::optional{user->home} : std::nullopt;
  };
  host.uid_of = [](const std::string& name) -> std::optional<uid_t> {
    const auto user = find_user(name);
    return user ? std::optional{user->uid} : std::nullopt;
  };
  host.uid = ::geteuid();
  host.as_root = host.uid == 0;
  if (host.as_root) host.sudo_user = host.environment("SUDO_USER").value_or("");
  if (const auto caller = find_user(host.sudo_user)) host.uid = caller->uid;
  return host;
}

StoreChoice find_store(const fs::path& given, const Host& host) {
  return find(given, host, Wanted::store);
}

StoreChoice find_store_to_fill(const fs::path& given, const Host& host) {
  return find(given, host, Wanted::store_to_fill);
}

}  // namespace ollamafs
