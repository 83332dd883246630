// Package contender is what the bench's Go programs have in common: their arguments, their part of the protocol on
// stdin and stdout, and the consumer. The contract is the header comment of src/bench/contender.ts. Who leads is not
// decided here.
package contender

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sys/unix"
)

const reconnectPause = 100 * time.Millisecond

// Contender is one process that wants to consume.
type Contender struct {
	Name    string
	Servers []string
	Lock    string
	TTL     time.Duration

	amqpURL  string
	queue    string
	prefetch int
	ledger   *os.File
	channel  *amqp.Channel
	resign   chan struct{}
	block    atomic.Bool
}

// New reads the arguments, opens the ledger and connects to the broker. Any failure ends the process.
func New() *Contender {
	c := &Contender{resign: make(chan struct{}, 1)}
	flag.StringVar(&c.Name, "name", "", "in the ledger")
	flag.StringVar(&c.amqpURL, "amqp", "", "URL of the broker")
	flag.StringVar(&c.queue, "queue", "", "exists already")
	flag.IntVar(&c.prefetch, "prefetch", 1, "")
	servers := flag.String("servers", "", "host:port of the lock service, comma-separated")
	flag.StringVar(&c.Lock, "lock", "", "name of the election")
	ttlMs := flag.Int("ttl-ms", 0, "lease or session")
	ledger := flag.String("ledger", "", "file to append to")
	flag.Parse()
	c.Servers = strings.Split(*servers, ",")
	c.TTL = time.Duration(*ttlMs) * time.Millisecond

	var err error
	if c.ledger, err = os.OpenFile(*ledger, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
		log.Fatal(err)
	}
	if err = c.connect(); err != nil {
		log.Fatal(err)
	}
	go c.listen()
	return c
}

// Stand says that this contender is a candidate, when it is connected to the broker and could consume at once.
func (c *Contender) Stand() {
	for c.channel.IsClosed() {
		if err := c.connect(); err != nil {
			log.Print(err)
			time.Sleep(reconnectPause)
		}
	}
	fmt.Println("standing")
}

// Lead handles messages, one after the other, until lead ends, the bench asks to resign, or the connection to the
// broker breaks. When it returns, no handler runs, what was handled is acknowledged, and the broker has been told to
// give the rest to others.
func (c *Contender) Lead(lead context.Context) {
	select {
	case <-c.resign: // Asked when there was nothing to resign from.
	default:
	}
	fmt.Println("active")
	if err := c.consume(lead); err != nil {
		log.Print(err)
		c.channel.Close() // Whatever it holds goes back to the queue.
	}
	fmt.Println("inactive")
}

func (c *Contender) consume(lead context.Context) error {
	deliveries, err := c.channel.Consume(c.queue, c.Name, false, false, false, false, nil)
	if err != nil {
		return err
	}
	for {
		// Looked at before each message: select takes any of the cases that are ready.
		select {
		case <-lead.Done():
			return c.leave(deliveries)
		case <-c.resign:
			return c.leave(deliveries)
		default:
		}
		select {
		case <-lead.Done():
			return c.leave(deliveries)
		case <-c.resign:
			return c.leave(deliveries)
		case delivery, open := <-deliveries:
			if !open {
				return errors.New("the broker ended the consumer")
			}
			c.handle(delivery)
			if err := delivery.Ack(false); err != nil {
				return err
			}
		}
	}
}

// leave cancels the consumer and returns what it was sent and did not handle. The broker carries this out in the
// order in which it was sent, so there is no need to wait for more than the end of the deliveries.
func (c *Contender) leave(deliveries <-chan amqp.Delivery) error {
	if err := c.channel.Cancel(c.Name, false); err != nil {
		return err
	}
	var last *amqp.Delivery
	for delivery := range deliveries {
		last = &delivery
	}
	if last == nil {
		return nil
	}
	const multiple, requeue = true, true
	return last.Nack(multiple, requeue)
}

func (c *Contender) handle(delivery amqp.Delivery) {
	start := monotonicNs()
	for c.block.Load() {
	}
	fmt.Fprintf(c.ledger, "%s %s %d %d\n", delivery.Body, c.Name, start, monotonicNs())
}

// listen takes the bench's orders; when the bench is gone, so is the contender.
func (c *Contender) listen() {
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		switch orders.Text() {
		case "resign":
			select {
			case c.resign <- struct{}{}:
			default: // One is waiting already.
			}
		case "block":
			c.block.Store(true)
		}
	}
	os.Exit(0)
}

func (c *Contender) connect() error {
	connection, err := amqp.Dial(c.amqpURL)
	if err != nil {
		return err
	}
	if c.channel, err = connection.Channel(); err == nil {
		err = c.channel.Qos(c.prefetch, 0, false)
	}
	if err != nil {
		connection.Close()
		return err
	}
	go func() {
		// A channel that fails takes its connection along, so that there is one thing to replace.
		<-c.channel.NotifyClose(make(chan *amqp.Error, 1))
		connection.Close()
	}()
	return nil
}

// monotonicNs is the clock that all processes of the machine share.
func monotonicNs() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		log.Fatal(err)
	}
	return now.Nano()
}
