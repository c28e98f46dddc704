#include <dlfcn.h>
#include <fmt/format.h>

#include "lab/llm/data/sentencepiece_module.hpp"
#include "lab/support/module.hpp"

namespace gradstab::lab {
namespace {

// The sanitizers' runtimes refuse RTLD_DEEPBIND; a sanitized program must not have both torch and
// SentencePiece.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kLoadFlags = RTLD_NOW | RTLD_LOCAL;
#else
constexpr int kLoadFlags = RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND;
#endif

Result<const SentencePieceModule*> load_module() {
  const auto entry = module_symbol(GRADSTAB_SENTENCEPIECE_MODULE, kSentencePieceEntryPoint, kLoadFlags);
  if (!entry)
    return Status(
        entry.status().code(),
        fmt::format("cannot load SentencePiece: {} (it needs the Debian package libsentencepiece0; the "
                    "tokenizer 'bytes' works without)",
                    entry.status().message()));
  return reinterpret_cast<SentencePieceEntryPoint>(*entry)();
}

}  // namespace

Result<const SentencePieceModule*> sentencepiece_module() {
  static const Result<const SentencePieceModule*> module = load_module();
  return module;
}

}  // namespace gradstab::lab
