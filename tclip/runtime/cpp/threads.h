// Threads that help with one call at a time, and never more of them than were asked for.
//
// A call takes a Team: itself and the workers that are free just then. Work is cut into items that whoever is
// there takes one by one, so a worker that wakes late, or not at all, costs its help and nothing else: nobody
// waits for it. Workers look for work a bounded time, then sleep.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

namespace tclip {

class Team {
public:
    using Task = std::function<void(int)>;

    // Calls task(0) .. task(count - 1), each once, in any order and on any thread of the team; returns when all
    // are done. Items must not throw.
    void run(int count, const Task& task);

    // How many threads share the work, the caller included.
    int size() const { return size_; }

    explicit Team(int size) : size_(size) {}

private:
    friend class Pool;
    bool take_one();
    void help();

    static constexpr int MAX_ITEMS = 1 << 20;
    // round (24 bits) | items in all (20) | the next one (20): one number, so that none is taken in a wrong round
    std::atomic<uint64_t> ticket_{0};
    std::atomic<const Task*> task_{nullptr};
    std::atomic<int> done_{0};
    std::atomic<bool> closed_{false};
    int size_;
};

// A team for the time of a call, with at most `threads` threads; waits while as many are at work already.
class Lease {
public:
    explicit Lease(int threads);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Team& team() { return *team_; }

private:
    class Pool* pool_;
    std::shared_ptr<Team> team_;
};

}  // namespace tclip
