// Evidence of policy forkall that comes through descriptors, and the end of the parent.
//
// Promises: as forkall.h. A write counts where this process wakes itself by that descriptor: it
// wrote to it before the fork, the library that made it writes now, or a thread that went on does.
// So it does once another thread that runs the same start routine has gone on, also if it came
// before. What a program made to hear of its children (an eventfd, a pipe that its own event loop
// watches) stays between them. Does not: see what a lost thread polls or selects; it goes on when
// its parent has ended, or when it is joined.
#pragma once

namespace forkmend {
struct Thread;
}

namespace forkmend::forkall {

// A live thread writes to a descriptor, changes an epoll set, arms a timer.
void wrote(int fd, const void* caller);
void changes_set(int set);
void arms(int fd);

// It does something by which a process that has gone into the background shows that it goes on: if
// the one that it was forked from has ended, its threads live nowhere else, and all go on here.
void sees_parent();
bool parent_has_ended();
// A thread went on: who was written to before goes on with it.
void went_on(const Thread& t);
void forget_descriptors();  // child entry

}  // namespace forkmend::forkall
