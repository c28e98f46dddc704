#include "gradstab/norm_recorder.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "gradstab/transforms.hpp"
#include "recording_file.hpp"
#include "text.hpp"

namespace gradstab {
namespace {

using files::error;

constexpr std::string_view kLibrary = "gradstab " GRADSTAB_VERSION;

}  // namespace

struct NormRecorder::Impl {
  Impl(files::RecordingFile opened, NormRecorderOptions given)
      : file(std::move(opened)), options(std::move(given)) {}

  Status set_parameters(ParameterSet set) {
    GradientTransform next = gradstab::record_norms();
    GRADSTAB_RETURN_IF_ERROR(next.init(std::move(set), {.nonfinite = NonFinitePolicy::pass_through,
                                                        .backend = options.backend,
                                                        .executor = options.executor}));
    std::vector<std::string> no_dtypes(next.parameters().size());
    std::vector<double> no_norms(next.parameters().size(), kNoGradient);
    meter = std::move(next);  // from here on nothing fails
    dtypes = std::move(no_dtypes);
    norms = std::move(no_norms);
    header_due = true;
    return {};
  }

  const ParameterSet& parameters() const noexcept { return meter.parameters(); }

  std::int64_t next_step() const noexcept {
    return last_step < std::numeric_limits<std::int64_t>::max() ? last_step + 1 : last_step;
  }
  /// The number of this step, which counts whether or not it is recorded.
  std::int64_t begin_step(std::optional<std::int64_t> step) noexcept {
    const std::int64_t number = step.value_or(next_step());
    if (number >= 0) last_step = number;  // the encoder refuses others
    return number;
  }
  bool records(std::int64_t step) const noexcept { return step < 0 || step % options.every == 0; }

  RecordingHeader header() const {
    RecordingHeader header;
    for (std::size_t i = 0; i < parameters().size(); ++i) {
      const Parameter& parameter = parameters()[i];
      header.tensors.push_back({parameter.name, element_count(parameter.sizes), dtypes[i]});
    }
    header.facts = options.facts;
    header.facts.push_back({"library", std::string(kLibrary)});
    if (options.every != 1) header.facts.push_back({"every", std::to_string(options.every)});
    return header;
  }

  /// The header goes to the file with the first step that belongs to it: then more is known of the tensors.
  Status write_norms(std::int64_t step, std::optional<double> loss) {
    bytes.clear();
    if (header_due) {
      RecordingHeader now = header();
      GRADSTAB_RETURN_IF_ERROR(encoder.header(now, bytes));
      if (now == found.header) bytes.clear();
      GRADSTAB_RETURN_IF_ERROR(encoder.step(step, loss, norms, bytes));
      GRADSTAB_RETURN_IF_ERROR(file.append(bytes));
      found.header = std::move(now);
      header_due = false;
      return {};
    }
    GRADSTAB_RETURN_IF_ERROR(encoder.step(step, loss, norms, bytes));
    return file.append(bytes);
  }

  void learn_dtypes(std::span<const TensorRef> gradients) {
    for (std::size_t i = 0; i < gradients.size(); ++i)
      if (gradients[i].data != nullptr && dtypes[i].empty()) dtypes[i] = to_string(gradients[i].dtype);
  }

  files::RecordingFile file;
  NormRecorderOptions options;
  files::FoundRecording found;  // what the file's last header says
  RecordingEncoder encoder;
  GradientTransform meter = gradstab::record_norms();
  std::vector<std::string> dtypes;
  bool header_due = true;
  std::int64_t last_step = 0;
  // Of the current step; kept, so that a step allocates nothing.
  std::vector<double> norms;
  std::vector<std::byte> bytes;
};

NormRecorder::NormRecorder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NormRecorder::NormRecorder(NormRecorder&&) noexcept = default;
NormRecorder& NormRecorder::operator=(NormRecorder&&) noexcept = default;
NormRecorder::~NormRecorder() = default;

Result<NormRecorder> NormRecorder::open(std::string path, ParameterSet parameters,
                                        NormRecorderOptions options) {
  if (options.every < 1) return files::invalid("every must be at least 1, got ", options.every);
  GRADSTAB_RETURN_IF_ERROR(find_backend(options.backend).status());  // before a file is made
  files::FoundRecording found;
  auto file = files::RecordingFile::open(std::move(path), found);
  if (!file) return file.status();
  auto impl = std::make_unique<Impl>(*std::move(file), std::move(options));
  impl->found = std::move(found);
  impl->last_step = impl->found.last_step;
  GRADSTAB_RETURN_IF_ERROR(impl->set_parameters(std::move(parameters)));
  return NormRecorder(std::move(impl));
}

Status NormRecorder::record(std::span<const TensorRef> gradients, std::optional<std::int64_t> step,
                            std::optional<double> loss) {
  const std::int64_t number = impl_->begin_step(step);
  if (!impl_->records(number)) return {};
  const auto report = impl_->meter.update(gradients);
  if (!report) return report.status();
  if (impl_->header_due) impl_->learn_dtypes(gradients);
  return record(*report, number, loss);
}

Status NormRecorder::record(const StepReport& report, std::optional<std::int64_t> step,
                            std::optional<double> loss) {
  const std::int64_t number = impl_->begin_step(step);
  if (!impl_->records(number)) return {};
  if (report.tensors.size() != impl_->norms.size()) {
    return error(StatusCode::shape_mismatch, "got a report of ", report.tensors.size(), " tensors for ",
                 impl_->norms.size(), " registered parameters");
  }
  std::ranges::transform(report.tensors, impl_->norms.begin(), [](const TensorReport& tensor) {
    return tensor.present ? tensor.raw_norm : kNoGradient;
  });
  return impl_->write_norms(number, loss);
}

Status NormRecorder::record_norms(std::span<const double> norms, std::optional<std::int64_t> step,
                                  std::optional<double> loss) {
  const std::int64_t number = impl_->begin_step(step);
  if (!impl_->records(number)) return {};
  if (norms.size() != impl_->norms.size()) {
    return error(StatusCode::shape_mismatch, "got ", norms.size(), " norms for ", impl_->norms.size(),
                 " registered parameters");
  }
  std::ranges::copy(norms, impl_->norms.begin());
  return impl_->write_norms(number, loss);
}

bool NormRecorder::records_step(std::int64_t step) const noexcept {
  return impl_->records(step);
}

std::int64_t NormRecorder::next_step() const noexcept {
  return impl_->next_step();
}

Status NormRecorder::set_parameters(ParameterSet parameters) {
  return impl_->set_parameters(std::move(parameters));
}

void NormRecorder::set_facts(std::vector<RecordedFact> facts) {
  impl_->options.facts = std::move(facts);
  impl_->header_due = true;
}

void NormRecorder::set_dtypes(std::vector<std::string> dtypes) {
  impl_->dtypes = std::move(dtypes);
  impl_->dtypes.resize(impl_->parameters().size());
  impl_->header_due = true;
}

const ParameterSet& NormRecorder::parameters() const noexcept {
  return impl_->parameters();
}

const std::string& NormRecorder::path() const noexcept {
  return impl_->file.path();
}

Status NormRecorder::close() {
  return impl_->file.close();
}

}  // namespace gradstab
