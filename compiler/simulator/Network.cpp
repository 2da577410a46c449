//===- Network.cpp - what a pipeline's stages send ------------------------===//

#include "compiler/simulator/Network.h"

#include <tuple>

namespace whale::simulator {

void CommunicationTimes::add(Picoseconds start, Picoseconds end) {
  if (start == end)
    return;
  // Nearly always last: look from the back.
  size_t at = intervals.size();
  while (at > first && intervals[at - 1].start > start)
    --at;
  if (at > first && intervals[at - 1].end >= start) {
    --at;
    intervals[at].end = std::max(intervals[at].end, end);
  } else {
    intervals.insert(intervals.begin() + at, {start, end});
  }
  size_t next = at + 1;
  while (next < intervals.size() && intervals[next].start <= intervals[at].end)
    intervals[at].end = std::max(intervals[at].end, intervals[next++].end);
  intervals.erase(intervals.begin() + at + 1, intervals.begin() + next);
}

Picoseconds CommunicationTimes::end(Picoseconds start, Picoseconds work,
                                    double slowDown) {
  while (first < intervals.size() && intervals[first].end <= start)
    ++first;
  Picoseconds now = start;
  for (size_t i = first; i < intervals.size(); ++i) {
    const Interval &interval = intervals[i];
    if (interval.start >= now + work)
      break;
    if (interval.start > now) {
      work -= interval.start - now;
      now = interval.start;
    }
    Picoseconds slowed = work.scaled(slowDown);
    if (slowed <= interval.end - now)
      return now + slowed;
    work -= (interval.end - now).scaled(1 / slowDown);
    now = interval.end;
  }
  return now + work;
}

bool Network::Later::operator()(const Request &a, const Request &b) const {
  return std::tie(a.ready, a.stage, a.number) >
         std::tie(b.ready, b.stage, b.number);
}

size_t Network::linkBetween(size_t from, size_t to) {
  return usedBy(from,
                byStages.try_emplace({from, to}, links.size()).first->second);
}

size_t Network::namedLink(size_t from, int64_t name) {
  return usedBy(from, byName.try_emplace(name, links.size()).first->second);
}

size_t Network::usedBy(size_t from, size_t link) {
  if (link == links.size())
    links.push_back({from, false, {}});
  links[link].shared |= links[link].sender != from;
  return link;
}

void Network::request(Request request) {
  request.number = requests++;
  waiting.push(request);
}

std::optional<Request> Network::nextRequest() {
  if (waiting.empty())
    return std::nullopt;
  Request request = waiting.top();
  waiting.pop();
  return request;
}

} // namespace whale::simulator
