//===- MeasuredRun.cpp - published measurements of training steps ---------===//

#include "compiler/validation/MeasuredRun.h"

#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <variant>

namespace whale::validation {

namespace {

/// Takes records out of CSV text (RFC 4180).
class CsvReader {
public:
  CsvReader(std::string_view text, std::string_view file)
      : text(text), where(file) {}

  bool atEnd() const { return at >= text.size(); }
  /// The line on which the last record began.
  Place place() const { return where.at(start, 1); }

  std::vector<std::string> record() {
    start = line;
    std::vector<std::string> fields;
    do
      fields.push_back(take('"') ? quotedField() : plainField());
    while (take(','));
    take('\r');
    take('\n');
    return fields;
  }

private:
  bool take(char c) {
    if (atEnd() || text[at] != c)
      return false;
    line += c == '\n';
    ++at;
    return true;
  }

  std::string plainField() {
    size_t end = std::min(text.find_first_of(",\r\n", at), text.size());
    std::string result(text.substr(at, end - at));
    at = end;
    return result;
  }

  /// Up to the closing quote; two quotes stand for one.
  std::string quotedField() {
    std::string result;
    while (!atEnd()) {
      bool quote = text[at] == '"';
      if (take('"') && !take('"'))
        break;
      result += quote ? '"' : text[at];
      if (!quote)
        take(text[at]);
    }
    return result;
  }

  std::string_view text;
  Place where;
  size_t at = 0;
  unsigned line = 1, start = 1;
};

using Member = std::variant<std::string MeasuredRun::*, int64_t MeasuredRun::*,
                            double MeasuredRun::*, bool MeasuredRun::*>;
struct Column {
  std::string_view name;
  Member member;
  bool required = true;
};

const Column columns[] = {
    {"id", &MeasuredRun::id},
    {"source", &MeasuredRun::source},
    {"model_family", &MeasuredRun::family},
    {"params_b", &MeasuredRun::parameters},
    {"layers", &MeasuredRun::layers},
    {"hidden", &MeasuredRun::hidden},
    {"ffn_hidden", &MeasuredRun::ffn},
    {"heads", &MeasuredRun::heads},
    {"kv_heads", &MeasuredRun::keyHeads},
    {"seq", &MeasuredRun::sequence},
    {"vocab", &MeasuredRun::vocabulary},
    {"experts", &MeasuredRun::experts},
    {"top_k", &MeasuredRun::chosenExperts},
    {"gpu_type", &MeasuredRun::gpuType},
    {"gpus_total", &MeasuredRun::gpus},
    {"gpus_per_node", &MeasuredRun::gpusPerNode},
    {"intra_node_link", &MeasuredRun::intraNodeLink},
    {"inter_node_link_gbps", &MeasuredRun::nodeLink},
    {"global_batch", &MeasuredRun::globalBatch},
    {"micro_batch", &MeasuredRun::microBatch},
    {"tp", &MeasuredRun::tensor},
    {"pp", &MeasuredRun::pipeline},
    {"vp", &MeasuredRun::virtualStages},
    {"cp", &MeasuredRun::context},
    {"ep", &MeasuredRun::expert},
    {"dp", &MeasuredRun::data},
    {"zero_stage", &MeasuredRun::zero},
    {"sequence_parallel", &MeasuredRun::sequenceParallel},
    {"recompute", &MeasuredRun::recompute},
    {"precision", &MeasuredRun::precision},
    {"measured_metric", &MeasuredRun::metric},
    {"measured_value", &MeasuredRun::metricValue},
    {"mem_gb_per_gpu", &MeasuredRun::memory},
    {"notes", &MeasuredRun::notes},
    {"year", &MeasuredRun::year, false},
};

std::optional<double> number(std::string_view text) {
  double value = 0;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 ||
      value > 1e15)
    return std::nullopt;
  return value;
}

/// Whether a field says in a word that it has no value.
bool isNothing(std::string_view text) {
  std::string word = lowerCase(text);
  constexpr std::string_view words[] = {"",     "-",    "n/a", "na",
                                        "none", "null", "nan", "unknown"};
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

struct Unit {
  std::string_view text;
  double factor;
};

/// A number as people write it into a table: "51,200", "1600 Gb/s", "ZeRO-3",
/// "True". Bytes of a link are 8 bits each.
std::optional<double> writtenNumber(std::string_view text) {
  std::string word = lowerCase(text);
  if (word == "true" || word == "yes")
    return 1;
  if (word == "false" || word == "no")
    return 0;
  for (std::string_view before : {"zero", "stage"})
    if (word.starts_with(before) && word.size() > before.size())
      text.remove_prefix(before.size() + (text[before.size()] == '-' ||
                                          text[before.size()] == ' '));
  constexpr Unit units[] = {{"GB/s", 8},   {"Gb/s", 1}, {"Gbps", 1},
                            {"Gbit/s", 1}, {"GiB", 1},  {"GB", 1}};
  double factor = 1;
  for (const Unit &unit : units)
    if (text.ends_with(unit.text)) {
      text.remove_suffix(unit.text.size());
      factor = unit.factor;
      break;
    }
  while (text.ends_with(' '))
    text.remove_suffix(1);
  std::string digits(text);
  std::erase(digits, ',');
  std::optional<double> value = number(digits);
  return value ? std::optional(*value * factor) : std::nullopt;
}

/// Columns of the header by the position of their field.
class RunReader {
public:
  RunReader(CsvReader &csv, Diagnostics &diagnostics)
      : csv(csv), diagnostics(diagnostics) {}

  bool readHeader() {
    names = csv.record();
    size_t before = diagnostics.errorCount();
    for (const Column &column : columns) {
      auto it = std::find(names.begin(), names.end(), column.name);
      positions.push_back(it - names.begin());
      if (it != names.end() || !column.required)
        continue;
      Diag &diag =
          diagnostics.error(csv.place(), "no column " + quoted(column.name));
      if (auto nearest = suggest(column.name, names))
        diag.hint("is it the column " + quoted(*nearest) + "?");
    }
    return diagnostics.errorCount() == before;
  }

  std::optional<MeasuredRun> readRow() {
    std::vector<std::string> fields = csv.record();
    MeasuredRun run;
    run.place = csv.place();
    if (fields.size() != names.size()) {
      diagnostics.error(run.place,
                        fmt::format("{} fields, expected {} as in the header",
                                    fields.size(), names.size()));
      return std::nullopt;
    }
    for (size_t i = 0; i < positions.size(); ++i)
      if (positions[i] < fields.size() &&
          !set(run, columns[i], fields[positions[i]]))
        return std::nullopt;
    return run;
  }

private:
  bool set(MeasuredRun &run, const Column &column, const std::string &text) {
    if (auto *member =
            std::get_if<std::string MeasuredRun::*>(&column.member)) {
      run.**member = text;
      return true;
    }
    if (isNothing(text))
      return true;
    std::optional<double> value = writtenNumber(text);
    bool whole = !std::holds_alternative<double MeasuredRun::*>(column.member);
    if (!value || (whole && *value != static_cast<double>(
                                          static_cast<int64_t>(*value)))) {
      diagnostics.error(run.place,
                        fmt::format("{} is {}, expected {} or "
                                    "nothing",
                                    quoted(column.name), quoted(text),
                                    whole ? "a whole number" : "a number"));
      return false;
    }
    if (auto *member = std::get_if<int64_t MeasuredRun::*>(&column.member))
      run.**member = static_cast<int64_t>(*value);
    if (auto *member = std::get_if<double MeasuredRun::*>(&column.member))
      run.**member = *value;
    if (auto *member = std::get_if<bool MeasuredRun::*>(&column.member))
      run.**member = *value != 0;
    return true;
  }

  CsvReader &csv;
  Diagnostics &diagnostics;
  std::vector<std::string> names;
  std::vector<size_t> positions;
};

/// What follows `key` in `text`, up to one of `ends`.
std::string_view after(std::string_view text, std::string_view key,
                       std::string_view ends) {
  size_t at = text.find(key);
  if (at == text.npos)
    return {};
  text.remove_prefix(at + key.size());
  return text.substr(0, text.find_first_of(ends));
}

bool isDigit(char c) { return c >= '0' && c <= '9'; }
bool isUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool isLower(char c) { return c >= 'a' && c <= 'z'; }
bool isWord(char c) { return isDigit(c) || isUpper(c) || isLower(c); }

/// The letters and digits of a text in lower case, and where words begin.
class Words {
public:
  explicit Words(std::string_view text) {
    char last = ' ';
    for (char c : text) {
      if (isWord(c)) {
        bool begins = !isWord(last) || (isUpper(c) && isLower(last));
        begin.push_back(begins);
        joined += isUpper(c) ? static_cast<char>(c - 'A' + 'a') : c;
      }
      last = c;
    }
    begin.push_back(true);
  }

  bool have(std::string_view phrase) const {
    std::string wanted = Words(phrase).joined;
    for (size_t at = joined.find(wanted); at != joined.npos;
         at = joined.find(wanted, at + 1)) {
      size_t end = at + wanted.size();
      // "v1" is not in "v12".
      bool cutsNumber =
          !begin[end] && isDigit(joined[end - 1]) && isDigit(joined[end]);
      if (begin[at] && !cutsNumber && !isDenied(at, end))
        return true;
    }
    return false;
  }

private:
  bool isDenied(size_t at, size_t end) const {
    for (std::string_view word :
         {"no", "not", "without", "non", "disable", "disabled"})
      if (at >= word.size() && begin[at - word.size()] &&
          joined.compare(at - word.size(), word.size(), word) == 0)
        return true;
    while (!begin[end])
      ++end;
    for (std::string_view word : {"off", "disabled", "false"})
      if (joined.compare(end, word.size(), word) == 0 &&
          begin[end + word.size()])
        return true;
    return false;
  }

  std::string joined;
  std::vector<bool> begin;
};

} // namespace

std::string_view MeasuredRun::prefix() const {
  return std::string_view(id).substr(0, id.find_last_of('-'));
}

std::string_view MeasuredRun::tier() const {
  return after(notes, "tier=", "; ");
}

std::string lowerCase(std::string_view text) {
  std::string lower;
  for (char c : text)
    lower += isUpper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

bool startsWithOneOf(std::string_view text,
                     std::initializer_list<std::string_view> beginnings) {
  return std::any_of(
      beginnings.begin(), beginnings.end(),
      [&](std::string_view one) { return text.starts_with(one); });
}

bool MeasuredRun::isHopperOrNewer() const {
  return startsWithOneOf(gpuType, {"H", "B", "G"});
}

bool MeasuredRun::says(std::initializer_list<std::string_view> phrases) const {
  for (const std::string *text : {&notes, &source, &id}) {
    Words words(*text);
    for (std::string_view phrase : phrases)
      if (words.have(phrase))
        return true;
  }
  return false;
}

int64_t MeasuredRun::noted(std::string_view key) const {
  std::optional<double> value = number(after(notes, key, ",; "));
  return value ? static_cast<int64_t>(*value) : 0;
}

std::optional<double> MeasuredRun::stepSeconds() const {
  if (metricValue <= 0)
    return std::nullopt;
  if (metric == "iter_s")
    return metricValue;
  if (auto derived = number(after(notes, "derived_iter_s=", "; ")))
    return *derived;
  if (metric == "samples_s" && globalBatch > 0)
    return static_cast<double>(globalBatch) / metricValue;
  if (metric == "tokens_s_gpu" && globalBatch > 0 && sequence > 0 && gpus > 0)
    return static_cast<double>(globalBatch) * static_cast<double>(sequence) /
           (metricValue * static_cast<double>(gpus));
  return std::nullopt;
}

std::optional<std::vector<MeasuredRun>> readRuns(std::string_view text,
                                                 std::string_view file,
                                                 Diagnostics &diagnostics) {
  CsvReader csv(text, file);
  RunReader reader(csv, diagnostics);
  if (csv.atEnd() || !reader.readHeader()) {
    if (csv.atEnd() && text.empty())
      diagnostics.error(Place(file), "the table of runs is empty");
    return std::nullopt;
  }
  std::vector<MeasuredRun> runs;
  while (!csv.atEnd()) {
    std::optional<MeasuredRun> run = reader.readRow();
    if (!run)
      return std::nullopt;
    runs.push_back(std::move(*run));
  }
  return runs;
}

} // namespace whale::validation
