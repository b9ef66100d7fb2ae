#pragma once

#include <cstdint>
#include <unordered_map>
#include <utility>

namespace ollamafs {

// A map of what was found when something was read. It is read again and again: begin(), then each
// entry that is there still is used or put, then end(), which removes all others. An entry that is
// only found, which find() does, is not used. Not for use from several threads at once.
//
// Pointers to values stay good until their entry is removed or put again.
template <class Key, class Value>
class SweptMap {
 public:
  // What use() and make() give. `is_first` says that this is the first use since begin().
  struct Used {
    Value* value;
    bool is_first;
  };

  // Begins a reading: nothing is used yet. If the reading fails there need not be an end().
  void begin() noexcept { ++reading_; }

  // Ends a reading: removes what was not used since begin(), after calling on_removed(key) of it.
  template <class OnRemoved>
  void end(OnRemoved on_removed) {
    std::erase_if(entries_, [&](const auto& entry) {
      if (entry.second.used_in == reading_) return false;
      on_removed(entry.first);
      return true;
    });
  }
  void end() {
    end([](const Key&) {});
  }

  // The value of a key, or null.
  [[nodiscard]] Value* find(const Key& key) {
    const auto it = entries_.find(key);
    return it == entries_.end() ? nullptr : &it->second.value;
  }

  // Whether the key has an entry that was used since begin().
  [[nodiscard]] bool is_used(const Key& key) const {
    const auto it = entries_.find(key);
    return it != entries_.end() && it->second.used_in == reading_;
  }

  // The value of a key, which is used by that; a null value if there is none.
  Used use(const Key& key) {
    const auto it = entries_.find(key);
    return it == entries_.end() ? Used{nullptr, false} : mark(it->second);
  }

  // As use(), but a key without a value gets an empty one first.
  Used make(const Key& key) { return mark(entries_[key]); }

  // Gives a key, which is used by that, a new value.
  Value& put(const Key& key, Value value) { return *mark(entries_[key]).value = std::move(value); }

  void erase(const Key& key) { entries_.erase(key); }

  // Removes all entries of whose keys `predicate` is true.
  template <class Predicate>
  void erase_if(Predicate predicate) {
    std::erase_if(entries_, [&](const auto& entry) { return predicate(entry.first); });
  }

  void clear() noexcept { entries_.clear(); }

 private:
  struct Entry {
    Value value{};
    std::uint64_t used_in = 0;  // the number of the reading
  };

  static constexpr std::uint64_t kFirstReading = 1;

  Used mark(Entry& entry) noexcept {
    return {&entry.value, std::exchange(entry.used_in, reading_) != reading_};
  }

  std::unordered_map<Key, Entry> entries_;
  std::uint64_t reading_ = kFirstReading;
};

}  // namespace ollamafs
