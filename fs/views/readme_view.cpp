#include <fmt/format.h>

#include <algorithm>

#include "fs/views/views.h"
#include "store/base/text.h"

namespace ollamafs {
namespace {

// The model that the examples use: the first that can be copied.
std::string example_name(const Catalog& catalog) {
  const auto it = std::ranges::find_if(catalog.models(), &Model::whole);
  return it == catalog.models().end() ? "NAME" : it->view_name;
}

}  // namespace

void add_readme(TreeBuilder& tree, const MountFacts& facts) {
  const std::string name = example_name(tree.catalog());
  const auto at = [&](std::string_view below) {
    return shell_word((facts.mountpoint / below).string());
  };
  tree.text(TreeBuilder::kRoot, "README.txt",
            fmt::format(R"(The models of the Ollama store

    {store}

one by one, as ollamafs shows them. Nothing here is a copy, and nothing can be
changed through it. A ':' before a tag is written '+' here.

models/NAME/         the model as a complete models folder of its own
archives/NAME.tar    the same as one file
contents/NAME/       its files by names that tell what they are: model.gguf, Modelfile
layouts/             all models as other programs want to find them
index.html           all models on one page, for a browser

Copy a model to another machine, straight into its Ollama:

    rsync -rtO --delay-updates {model}/ HOST:.ollama/models/

and, if Ollama runs there as a system service, as the user ollama:

    rsync -rtO --delay-updates --rsync-path='sudo -u ollama rsync' \
        {model}/ HOST:/usr/share/ollama/.ollama/models/

Copy a model to a USB stick, and from the stick into a store:

    cp {archive} /media/STICK/
    tar -xmf /media/STICK/{file} -C ~/.ollama/models
    sudo -u ollama tar -xm -C /usr/share/ollama/.ollama/models < /media/STICK/{file}

It is there at once: `ollama list` shows it under the same name and ID. Only where
that Ollama has another model of this name, `ollama rm` it first.

The slash behind NAME/ matters: without it, rsync makes a stray folder in that store.
Add -P to see how far it is; run it again if it was interrupted. Several models that
share blobs are copied together, with -H added. Never copy into {store}
itself: it is what is read here.

A model that lacks something has one file BROKEN, which cannot be read; `ollamafs
list` says what it lacks. While the disk of the store is away, all that can be seen
is one file STORE-IS-GONE.

"Input/output error": if it is a manifest alone that cannot be read, the model has
changed while you copied it; copy it again. Unmount with

    {sudo}ollamafs umount {mountpoint}
)",
                        fmt::arg("store", printable(facts.store.string())),
                        fmt::arg("model", at("models/" + name)),
                        fmt::arg("archive", at("archives/" + name + ".tar")),
                        fmt::arg("file", std::filesystem::path{name + ".tar"}.filename().string()),
                        fmt::arg("sudo", facts.by_sudo ? "sudo " : ""),
                        fmt::arg("mountpoint", shell_word(facts.mountpoint.string()))));
}

}  // namespace ollamafs
