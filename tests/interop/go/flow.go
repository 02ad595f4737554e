// The flow of `tests/tests/interop/flow.rs`, with the Go client: `flow AMQP AMQPS CA_FILE`.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"reflect"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const wait = 60 * time.Second

var input = bufio.NewReader(os.Stdin)

// ask has something done to the broker.
func ask(wanted string) {
	fmt.Println("do " + wanted)
	line, err := input.ReadString('\n')
	check(err)
	expect(wanted, line, "done\n")
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func expect(what string, got, wanted interface{}) {
	if !reflect.DeepEqual(got, wanted) {
		panic(fmt.Sprintf("%s: expected %v, got %v", what, wanted, got))
	}
}

func late(what string) {
	panic("not in time: " + what)
}

func publish(channel *amqp.Channel, exchange, key, body string) {
	message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)}
	confirm, err := channel.PublishWithDeferredConfirmWithContext(context.Background(), exchange, key, true, false, message)
	check(err)
	if confirm != nil {
		expect("acknowledged", confirm.Wait(), true)
	}
}

func declareBindConfirmReturn(channel *amqp.Channel) {
	check(channel.ExchangeDeclare("flow", "topic", true, false, false, false, nil))
	_, err := channel.QueueDeclare("flow", true, false, false, false, nil)
	check(err)
	check(channel.QueueBind("flow", "a.#", "flow", false, nil))
	check(channel.Confirm(false))
	returned := channel.NotifyReturn(make(chan amqp.Return, 1))
	for number := 0; number < 10; number++ {
		publish(channel, "flow", "a.b", fmt.Sprint(number))
	}
	publish(channel, "flow", "nowhere", "x")
	select {
	case message := <-returned:
		expect("reply code", message.ReplyCode, uint16(312))
	case <-time.After(wait):
		late("the return")
	}
}

func soon(deliveries <-chan amqp.Delivery) amqp.Delivery {
	select {
	case delivery := <-deliveries:
		return delivery
	case <-time.After(wait):
		late("a delivery")
	}
	panic("unreachable")
}

func prefetchRejectCancel(channel *amqp.Channel) {
	check(channel.Qos(2, 0, false))
	deliveries, err := channel.Consume("flow", "tag", false, false, false, false, nil)
	check(err)
	first, second := soon(deliveries), soon(deliveries)
	_, err = channel.QueueInspect("flow")
	check(err)
	expect("deliveries beyond the prefetch", len(deliveries), 0)
	check(first.Reject(true))
	again := soon(deliveries)
	expect("the rejected one", string(again.Body), "0")
	expect("redelivered", again.Redelivered, true)
	check(channel.Cancel("tag", false))
	check(second.Ack(false))
	check(again.Ack(false))
	left, err := channel.QueueInspect("flow")
	check(err)
	expect("messages left", left.Messages, 8)

	cancelled := channel.NotifyCancel(make(chan string, 1))
	gone, err := channel.QueueDeclare("", false, false, true, false, nil)
	check(err)
	_, err = channel.Consume(gone.Name, "lost", false, false, false, false, nil)
	check(err)
	_, err = channel.QueueDelete(gone.Name, false, false, false)
	check(err)
	select {
	case tag := <-cancelled:
		expect("cancelled", tag, "lost")
	case <-time.After(wait):
		late("the cancel")
	}
}

func kill(uri string, channel *amqp.Channel) *amqp.Connection {
	publish(channel, "flow", "a.b", "last")
	ask("kill")
	end := time.Now().Add(wait)
	connection, err := amqp.Dial(uri)
	for ; err != nil; connection, err = amqp.Dial(uri) {
		if time.Now().After(end) {
			panic(err)
		}
	}
	channel, err = connection.Channel()
	check(err)
	var bodies []string
	for {
		message, there, err := channel.Get("flow", true)
		check(err)
		if !there {
			break
		}
		bodies = append(bodies, string(message.Body))
	}
	expect("what is there after the kill", bodies, []string{"2", "3", "4", "5", "6", "7", "8", "9", "last"})
	return connection
}

func block(connection *amqp.Connection) {
	told := connection.NotifyBlocked(make(chan amqp.Blocking, 2))
	channel, err := connection.Channel()
	check(err)
	next := func(wanted amqp.Blocking) {
		select {
		case blocking := <-told:
			expect("blocking", blocking, wanted)
		case <-time.After(wait):
			late("blocking")
		}
	}
	ask("block")
	publish(channel, "", "nowhere", "x")
	next(amqp.Blocking{Active: true, Reason: "low on memory"})
	ask("unblock")
	next(amqp.Blocking{Active: false})
}

func encrypted(uri, authority string) {
	pem, err := os.ReadFile(authority)
	check(err)
	roots := x509.NewCertPool()
	expect("an authority", roots.AppendCertsFromPEM(pem), true)
	connection, err := amqp.DialTLS(uri, &tls.Config{RootCAs: roots})
	check(err)
	defer connection.Close()
	channel, err := connection.Channel()
	check(err)
	queue, err := channel.QueueDeclare("", false, false, true, false, nil)
	check(err)
	check(channel.Confirm(false))
	body := string(bytes.Repeat([]byte("x"), 1000000))
	publish(channel, "", queue.Name, body)
	message, there, err := channel.Get(queue.Name, true)
	check(err)
	expect("body over TLS", there && string(message.Body) == body, true)
}

func main() {
	connection, err := amqp.Dial(os.Args[1])
	check(err)
	channel, err := connection.Channel()
	check(err)
	declareBindConfirmReturn(channel)
	prefetchRejectCancel(channel)
	connection = kill(os.Args[1], channel)
	block(connection)
	check(connection.Close())
	encrypted(os.Args[2], os.Args[3])
	fmt.Println("ok flow")
}
