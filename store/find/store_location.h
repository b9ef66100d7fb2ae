#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace ollamafs {

// What the search for a store looks at, so that tests can put another machine in its place.
struct Host {
  std::filesystem::path root = "/";  // before every absolute path that is looked at
  std::function<std::optional<std::string>(const std::string& name)> environment;        // getenv
  std::function<std::optional<std::filesystem::path>(const std::string& user)> home_of;  // passwd
  std::function<std::optional<uid_t>(const std::string& user)> uid_of;                   // passwd
  std::string sudo_user;               // who called sudo, or empty
  uid_t uid = static_cast<uid_t>(-1);  // whose servers come first: who called sudo, else ourselves
  bool as_root = false;                // we read with root's rights

  // This machine and this process.
  static Host current();
};

// A directory that may be the store, and how it was come by.
struct StoreCandidate {
  enum class State {
    store,       // holds manifests/, manifests-v2/ or blobs/
    not_store,   // a directory without any of them, or no directory
    missing,     // nothing there
    unreadable,  // this process may not look, or looking fails
    untrusted,   // named by a server that we do not believe; not looked at
  };

  std::filesystem::path path;  // absolute; without Host::root
  // "--store", "OLLAMA_MODELS", "the running server (pid 812)", "ollama.service", "a usual place"
  std::string source;
  State state = State::missing;
  bool has_models = false;  // a store with at least one entry in a manifest tree
};

struct StoreChoice {
  StoreCandidate taken;
  std::string reason;  // a printable sentence: which store, why this one
  // Other stores of this machine, and places that may hold one but are not looked at. None with
  // --store: whoever says what to take is not kept waiting by another place.
  std::vector<StoreCandidate> others;
  // Printable sentences about servers whose stores are not among those: of a container, say.
  std::vector<std::string> notes;
};

// No store, or none that may be taken without guessing. what() is printable, may have several
// lines, and says what was looked at and what to do.
class StoreNotFound : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Finds the models folder (docs/store-format.md §1). The first of these decides, whether or not it
// can be read; only what is missing is passed over:
//   1. `given`, the user's --store, if not empty
//   2. OLLAMA_MODELS in our own environment
//   3. the environment of a running `ollama serve` on this machine, Host::uid's servers first. With
//      root's rights only of one that root, Host::uid, the user ollama or the unit's user started:
//      anybody can run something of that name
//   4. the systemd unit ollama.service with its drop-ins
//   5. the usual places: of these the first that holds a model, else the first that may not be
//      looked at, else the first that is a store
// 1 and 2 are final: if they name no store, not even a missing one is passed over. Whatever decides
// and is there but no store is an error; if the store is in its models/ (people name ~/.ollama),
// the error says so. Throws StoreNotFound.
[[nodiscard]] StoreChoice find_store(const std::filesystem::path& given, const Host& host);

// As find_store, but for who writes into the store and makes it where Ollama has never run: a
// folder that is missing or empty is taken too if 1, 2, 3 or 4 name it, and if nothing is found at
// all, the folder that a server of this user would make, ~/.ollama/models. Its state says whether
// it has to be made.
[[nodiscard]] StoreChoice find_store_to_fill(const std::filesystem::path& given, const Host& host);

}  // namespace ollamafs
