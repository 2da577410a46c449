//===- ParallelFor.h - independent work on several threads ------*- C++ -*-===//

#ifndef WHALE_PLANNER_PARALLELFOR_H
#define WHALE_PLANNER_PARALLELFOR_H

#include <atomic>
#include <thread>
#include <vector>

namespace whale::planner {

/// f(0) ... f(count - 1), on `threads` threads.
template <class F> void parallelFor(size_t count, unsigned threads, F f) {
  std::atomic<size_t> next = 0;
  auto work = [&] {
    for (size_t i; (i = next++) < count;)
      f(i);
  };
  std::vector<std::thread> others;
  for (unsigned t = 1; t < threads && t < count; ++t)
    others.emplace_back(work);
  work();
  for (std::thread &thread : others)
    thread.join();
}

} // namespace whale::planner

#endif // WHALE_PLANNER_PARALLELFOR_H
