import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's own Java producer, told by standard input what to do: words divided by tabs, one deed a line, each answered by a line.
 *
 * <pre>
 * open NAME setting=value ...     a producer of that name; with transactional.id it is ready for transactions
 * send NAME TOPIC KEY VALUE header=value ...     "-" for the key is none; a header without "=" has the value null
 * flush NAME     answers "topic/partition/offset" of all sent since the last flush, divided by blanks
 * begin NAME | commit NAME | abort NAME
 * </pre>
 */
public final class ForeignProducer {
    private final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
    private final Map<String, List<Future<RecordMetadata>>> sent = new HashMap<>();
    private final String broker;

    private ForeignProducer(String broker) {
        this.broker = broker;
    }

    public static void main(String[] words) throws Exception {
        ForeignProducer mine = new ForeignProducer(words[0]);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            System.out.println(mine.done(line.split("\t", -1)));
            System.out.flush();
        }
        mine.producers.values().forEach(one -> one.close(Duration.ZERO));
    }

    private String done(String[] words) {
        try {
            return obey(words);
        } catch (Exception error) {
            return "error " + error;
        }
    }

    private String obey(String[] words) throws Exception {
        String name = words[1];
        switch (words[0]) {
            case "open" -> open(name, words);
            case "send" -> sent.get(name).add(producers.get(name).send(record(words)));
            case "flush" -> {
                return flush(name);
            }
            case "begin" -> producers.get(name).beginTransaction();
            case "commit" -> producers.get(name).commitTransaction();
            case "abort" -> producers.get(name).abortTransaction();
            default -> throw new IllegalArgumentException(words[0]);
        }
        return "ok";
    }

    private void open(String name, String[] words) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", broker);
        for (int n = 2; n < words.length; n++) {
            String[] pair = words[n].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        KafkaProducer<byte[], byte[]> one = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        if (settings.containsKey("transactional.id")) {
            one.initTransactions();
        }
        producers.put(name, one);
        sent.put(name, new ArrayList<>());
    }

    private static ProducerRecord<byte[], byte[]> record(String[] words) {
        byte[] key = words[3].equals("-") ? null : bytes(words[3]);
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(words[2], key, bytes(words[4]));
        for (int n = 5; n < words.length; n++) {
            String[] pair = words[n].split("=", 2);
            record.headers().add(pair[0], pair.length == 2 ? bytes(pair[1]) : null);
        }
        return record;
    }

    private String flush(String name) throws Exception {
        producers.get(name).flush();
        StringBuilder places = new StringBuilder("ok");
        for (Future<RecordMetadata> one : sent.get(name)) {
            places.append(' ').append(one.get().topic()).append('/').append(one.get().partition());
            places.append('/').append(one.get().offset());
        }
        sent.get(name).clear();
        return places.toString();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
