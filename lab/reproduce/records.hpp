// The runs of an item as plain data, and the file that holds them: all that verdicts and pages are made of.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/reproduce/plan.hpp"
#include "lab/run/run_record.hpp"
#include "lab/sweep/sweep.hpp"

namespace gradstab::lab {

/// One run: where it stands in the plan, how it was set, what it measured.
struct ItemRun {
  std::string name;
  std::string part;
  std::string horizon;
  std::string arm;
  Settings coordinates;  ///< of its context
  int seed = 0;

  std::string state = "pending";  ///< "finished", "failed" or "pending"
  std::string error;              ///< the last words of a failed one
  TrainOptions options;
  bool diverged = false;
  double score = kNoValue;        ///< by the first metric of the measures
  double uninformed = kNoValue;   ///< score of one who knows nothing
  std::vector<double> others;     ///< at the end, of the other metrics that are measured
  Better better = Better::lower;  ///< of the score
  double loss_spike = 0.5;        ///< see TaskInfo
  double seconds = kNoValue;
  std::string weights_checksum;
  std::vector<EvalPoint> evaluations;
  std::vector<double> training_loss;    ///< of every update, or of every so many (metrics_every)
  std::vector<double> grad_norm;        ///< raw and global
  std::vector<double> stabilized_norm;  ///< global, after the transform

  /// The score that it is judged by: `score`, or `uninformed` where that is better, where the run diverged or
  /// failed. NaN for a pending one.
  double judged_score() const;
  /// The same, so signed that lower is better.
  double judged_cost() const;
};

/// All runs of an item at a scale.
struct Records {
  std::string item;
  std::string scale;
  TaskInfo measures;  ///< what the numbers of all runs mean
  /// Where seeds were added until all was decided: the numbers of seeds at which that was looked at, or would
  /// have been, up to the most that were allowed (looks.hpp). Empty: the number of seeds was fixed
  /// beforehand.
  std::vector<int> looks = {};
  nlohmann::ordered_json environment;  ///< of the first run that has finished
  nlohmann::ordered_json data;         ///< likewise
  std::vector<ItemRun> runs;

  std::size_t finished() const;
};

/// Reads the folders of all runs. Errors: a run whose folder does not read, or that was made with other
/// settings than the plan has now.
Result<Records> collect_records(const std::string& item, Scale scale, const Plan& plan,
                                const std::vector<PlannedRun>& planned,
                                const std::vector<SweepResult>& results, const SweepDirectory& directory);

/// JSON lines of format 2: a header, then a run each. Scores have five digits after the point, norms four in
/// all.
std::string to_json_lines(const Records& records);

/// Of format 1, too, which language models alone had (lab/run/formats.hpp). Errors name the line and what was
/// expected.
Result<Records> records_from_json_lines(const std::string& text);

}  // namespace gradstab::lab
