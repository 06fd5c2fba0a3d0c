// A Go library as others call it (-buildmode=c-shared): goroutines, the collector, the network.
package main

import "C"

import (
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"time"
)

var turns, disturbances int64

// Goroutines starts eight goroutines and adds up what they send.
//
//export Goroutines
func Goroutines() C.int {
	results := make(chan int)
	for i := 0; i < 8; i++ {
		go func(i int) {
			runtime.Gosched()
			results <- i
		}(i)
	}
	sum := 0
	for i := 0; i < 8; i++ {
		sum += <-results
	}
	if sum != 28 {
		return 1
	}
	return 0
}

// Collect runs the garbage collector.
//
//export Collect
func Collect() C.int {
	garbage := make([][]byte, 100)
	for i := range garbage {
		garbage[i] = make([]byte, 1024)
	}
	runtime.GC()
	return 0
}

// Echo sends and receives on a connection of its own.
//
//export Echo
func Echo() C.int {
	near, far, err := connection()
	if err != nil {
		return 1
	}
	defer near.Close()
	go func() {
		io.Copy(far, far)
		far.Close()
	}()
	near.SetDeadline(time.Now().Add(10 * time.Second))
	for i := 0; i < 5; i++ {
		if exchange(near) != nil {
			return 2
		}
		time.Sleep(200 * time.Microsecond)
	}
	return 0
}

// Both ends of a new one.
func connection() (near, far net.Conn, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return
	}
	defer listener.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		connection, _ := listener.Accept()
		accepted <- connection
	}()
	near, err = net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return
	}
	if far = <-accepted; far == nil {
		err = io.ErrUnexpectedEOF
	}
	return
}

func exchange(connection net.Conn) error {
	buffer := make([]byte, 4)
	if _, err := connection.Write([]byte("abcd")); err != nil {
		return err
	}
	_, err := io.ReadFull(connection, buffer)
	return err
}

// Disturbances counts what went wrong on Busy's own connection. A child finds its parent's dead, as
// it should.
//
//export Disturbances
func Disturbances() C.int {
	return C.int(atomic.LoadInt64(&disturbances))
}

// Busy starts pairs of goroutines that allocate and wake each other for ever, and one that sends and
// receives.
//
//export Busy
func Busy(pairs C.int) {
	near, far, err := connection()
	if err != nil {
		atomic.AddInt64(&disturbances, 1)
		return
	}
	go io.Copy(far, far)
	go func() {
		for exchange(near) == nil {
			time.Sleep(100 * time.Microsecond)
		}
		atomic.AddInt64(&disturbances, 1)
	}()
	for i := 0; i < int(pairs); i++ {
		there, back := make(chan int), make(chan int)
		go func() {
			for {
				value := <-there
				block := make([]byte, 1024+value%4096)
				block[0] = 1
				back <- value
			}
		}()
		go func() {
			for j := 0; ; j++ {
				there <- j
				<-back
				atomic.AddInt64(&turns, 1)
				if j%64 == 0 {
					time.Sleep(100 * time.Microsecond)
				}
			}
		}()
	}
}

func main() {}
