// gradstab data
#include <fmt/format.h>

#include <memory>

#include "cli/commands.hpp"
#include "cli/terminal.hpp"
#include "cli/values.hpp"
#include "lab/llm/data/dataset.hpp"

namespace gradstab::cli {
namespace {

struct DataArguments {
  std::string source = "dict-gcide";
  std::string tokenizer = "bpe";
  int vocab_size = 4096;
  std::string text;
};

int run_data(const DataArguments& arguments) {
  lab::DatasetOptions options;
  options.source = arguments.source;
  options.vocab_size = arguments.vocab_size;
  options.tokenizer = arguments.tokenizer == "bytes" ? lab::TokenizerKind::bytes : lab::TokenizerKind::bpe;
  ProgressLine line;
  const auto dataset = lab::prepare_dataset(options, [&](lab::PrepareStage stage, double fraction) {
    line.show(fraction, std::string(lab::to_string(stage)));
  });
  line.finish();
  if (!dataset) return exit_code_for(dataset.status());
  const auto part = [&](const char* name, lab::CorpusPart which) {
    const auto& counts = dataset->counts(which);
    print("{:<11} {} tokens, {} documents, {} bytes\n", name, counts.tokens, counts.documents,
          counts.text_bytes);
  };
  print("source      {}\n", dataset->description());
  part("training", lab::CorpusPart::train);
  part("validation", lab::CorpusPart::validation);
  print("cache       {}\n", dataset->from_cache() ? "used" : "written");
  if (!arguments.text.empty()) {
    const auto tokens = dataset->tokenizer().encode(arguments.text);
    if (!tokens) return exit_code_for(tokens.status());
    print("encoded     {}\n", fmt::join(*tokens, " "));
  }
  return kExitOk;
}

}  // namespace

void add_data(CLI::App& app, Action& action) {
  CLI::App* data = app.add_subcommand("data", "prepare a corpus and print its size");
  auto arguments = std::make_shared<DataArguments>();
  data->add_option("source", arguments->source, "dict-gcide, or a text or JSONL file, plain or gzip")
      ->capture_default_str();
  data->add_option("--tokenizer", arguments->tokenizer, "bpe or bytes")
      ->capture_default_str()
      ->check(CLI::IsMember({"bpe", "bytes"}));
  add_value(*data, "--vocab-size", arguments->vocab_size, "vocabulary of the bpe tokenizer")
      ->capture_default_str();
  data->add_option("--encode", arguments->text, "also print the tokens of this text");
  data->footer("\nExample: gradstab data book.txt.gz --vocab-size 2000 --encode 'stabilize the norm'");
  data->callback([&action, arguments] { action = [arguments] { return run_data(*arguments); }; });
}

}  // namespace gradstab::cli
