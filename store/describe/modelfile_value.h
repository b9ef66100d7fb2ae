#pragma once

#include <string>
#include <string_view>

namespace ollamafs {

// A value behind an instruction of a Modelfile.
struct ModelfileValue {
  enum class Fidelity {
    exact,      // read back it is the same
    lossy,      // it loses characters that a Modelfile cannot hold: the form feeds of a license
    unsayable,  // there is no way to write it
  };

  std::string text;  // as it is written, quoted if need be; of an unsayable one empty
  Fidelity fidelity = Fidelity::exact;
};

// Writes a value so that Ollama's own reader gets it back. Nothing is escaped in a Modelfile: there
// are only quotes, `"` or `"""`, and a value ends at the first line whose end closes it. Where more
// than one way is right, it is the one that `ollama show --modelfile` takes.
[[nodiscard]] ModelfileValue modelfile_value(std::string_view value);

}  // namespace ollamafs
