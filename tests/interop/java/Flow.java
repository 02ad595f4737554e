/* The flow of `tests/tests/interop/flow.rs`, with the Java client: `java -cp ... Flow.java AMQP AMQPS CA_FILE`. */

import com.rabbitmq.client.*;

import java.io.*;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.*;
import java.util.concurrent.*;
import javax.net.ssl.*;

public class Flow {
  static final long WAIT_SECS = 60;
  static final BufferedReader INPUT = new BufferedReader(new InputStreamReader(System.in));

  /** Has something done to the broker. */
  static void ask(String wanted) throws IOException {
    System.out.println("do " + wanted);
    System.out.flush();
    expect(wanted, INPUT.readLine(), "done");
  }

  static void expect(String what, Object got, Object wanted) {
    if (!Objects.equals(got, wanted)) {
      throw new IllegalStateException(what + ": expected " + wanted + ", got " + got);
    }
  }

  static <T> T soon(BlockingQueue<T> queue, String what) throws InterruptedException {
    T item = queue.poll(WAIT_SECS, TimeUnit.SECONDS);
    if (item == null) throw new IllegalStateException("not in time: " + what);
    return item;
  }

  static void publish(Channel channel, String key, String body) throws Exception {
    channel.basicPublish("flow", key, true, MessageProperties.PERSISTENT_BASIC, body.getBytes());
  }

  static void declareBindConfirmReturn(Channel channel) throws Exception {
    channel.exchangeDeclare("flow", "topic", true);
    channel.queueDeclare("flow", true, false, false, null);
    channel.queueBind("flow", "flow", "a.#");
    channel.confirmSelect();
    BlockingQueue<Integer> returned = new LinkedBlockingQueue<>();
    channel.addReturnListener((code, text, exchange, key, properties, body) -> returned.add(code));
    for (int number = 0; number < 10; number++) publish(channel, "a.b", "" + number);
    publish(channel, "nowhere", "x");
    channel.waitForConfirmsOrDie(WAIT_SECS * 1000);
    expect("reply code", soon(returned, "the return"), 312);
  }

  static class Came extends DefaultConsumer {
    final BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
    final BlockingQueue<String> cancelled = new LinkedBlockingQueue<>();

    Came(Channel channel) {
      super(channel);
    }

    @Override
    public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
      deliveries.add(new Delivery(envelope, properties, body));
    }

    @Override
    public void handleCancel(String tag) {
      cancelled.add(tag);
    }
  }

  static void prefetchRejectCancel(Channel channel) throws Exception {
    channel.basicQos(2);
    Came came = new Came(channel);
    String tag = channel.basicConsume("flow", false, came);
    Delivery first = soon(came.deliveries, "a delivery");
    Delivery second = soon(came.deliveries, "a delivery");
    channel.queueDeclarePassive("flow");
    expect("deliveries beyond the prefetch", came.deliveries.size(), 0);
    channel.basicReject(first.getEnvelope().getDeliveryTag(), true);
    Delivery again = soon(came.deliveries, "the rejected one");
    expect("the rejected one", new String(again.getBody()), "0");
    expect("redelivered", again.getEnvelope().isRedeliver(), true);
    channel.basicCancel(tag);
    channel.basicAck(second.getEnvelope().getDeliveryTag(), false);
    channel.basicAck(again.getEnvelope().getDeliveryTag(), false);
    expect("messages left", channel.queueDeclarePassive("flow").getMessageCount(), 8);
  }

  /** On a connection of its own: one that comes back would look for the queue again. */
  static void loseQueue(ConnectionFactory factory) throws Exception {
    try (Connection connection = factory.newConnection()) {
      Channel channel = connection.createChannel();
      String gone = channel.queueDeclare().getQueue();
      Came lost = new Came(channel);
      String of = channel.basicConsume(gone, lost);
      channel.queueDelete(gone);
      expect("cancelled", soon(lost.cancelled, "the cancel"), of);
    }
  }

  static void kill(Connection connection, Channel channel) throws Exception {
    BlockingQueue<Boolean> recovered = new LinkedBlockingQueue<>();
    ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
      @Override
      public void handleRecovery(Recoverable recoverable) {
        recovered.add(true);
      }

      @Override
      public void handleRecoveryStarted(Recoverable recoverable) {}
    });
    publish(channel, "a.b", "last");
    channel.waitForConfirmsOrDie(WAIT_SECS * 1000);
    ask("kill");
    soon(recovered, "the recovery");
    List<String> bodies = new ArrayList<>();
    for (GetResponse got; (got = channel.basicGet("flow", true)) != null; ) {
      bodies.add(new String(got.getBody()));
    }
    expect("what is there after the kill", bodies, List.of("2", "3", "4", "5", "6", "7", "8", "9", "last"));
  }

  static void block(Connection connection) throws Exception {
    BlockingQueue<String> told = new LinkedBlockingQueue<>();
    connection.addBlockedListener(new BlockedListener() {
      @Override
      public void handleBlocked(String reason) {
        told.add(reason);
      }

      @Override
      public void handleUnblocked() {
        told.add("unblocked");
      }
    });
    Channel channel = connection.createChannel();
    ask("block");
    channel.basicPublish("", "nowhere", null, new byte[1]);
    expect("blocked", soon(told, "blocked"), "low on memory");
    ask("unblock");
    expect("unblocked", soon(told, "unblocked"), "unblocked");
  }

  static void encrypted(String uri, String authority) throws Exception {
    KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
    trusted.load(null, null);
    try (InputStream file = Files.newInputStream(Path.of(authority))) {
      trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(trusted);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(uri);
    factory.useSslProtocol(context);
    try (Connection connection = factory.newConnection()) {
      Channel channel = connection.createChannel();
      String queue = channel.queueDeclare().getQueue();
      byte[] body = new byte[1_000_000];
      Arrays.fill(body, (byte) 'x');
      channel.confirmSelect();
      channel.basicPublish("", queue, null, body);
      channel.waitForConfirmsOrDie(WAIT_SECS * 1000);
      expect("body over TLS", Arrays.equals(channel.basicGet(queue, true).getBody(), body), true);
    }
  }

  public static void main(String[] args) {
    try {
      flow(args);
    } catch (Throwable failure) {
      failure.printStackTrace();
      // Threads of the client would go on.
      System.exit(1);
    }
  }

  static void flow(String[] args) throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(args[0]);
    factory.setNetworkRecoveryInterval(500);
    Connection connection = factory.newConnection();
    Channel channel = connection.createChannel();
    declareBindConfirmReturn(channel);
    prefetchRejectCancel(channel);
    loseQueue(factory);
    kill(connection, channel);
    block(connection);
    connection.close();
    encrypted(args[1], args[2]);
    System.out.println("ok flow");
  }
}
